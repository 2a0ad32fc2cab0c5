"""What a limit on length would cut off."""

from collections.abc import Sequence

from whit.core.errors import TemplateError
from whit.core.types import Example
from whit.data.render import Renderer
from whit.preflight._types import Finding
from whit.prompting.zero_shot import zero_shot


def truncation(
    examples: Sequence[Example],
    gold: Sequence[str],
    renderer: Renderer,
    max_new_tokens: int,
    *,
    max_share: float = 0.05,
) -> Finding:
    """At most `max_share` of the gold completions are longer than completions may be, or than the model's context."""
    lengths = [len(renderer.completion(text)) for text in gold]
    room = [_room(renderer, example) for example in examples]
    too_long = [n for n, left in zip(lengths, room, strict=True) if n > left]
    cut = sum(n > max_new_tokens for n in lengths)
    counts = (
        f"{cut:,} of {len(lengths):,} gold completions pass {max_new_tokens:,} tokens; the longest: {max(lengths):,}"
    )
    if short := sum(left < max_new_tokens for left in room):
        counts += (
            f"; {short:,} prompts are kept whole and leave less than that of the context of {renderer.max_length:,}"
        )
    if too_long:
        counts += f", {len(too_long):,} do not fit the context of {renderer.max_length:,} with their prompt"
    if max(cut, len(too_long)) > max_share * len(lengths):
        enough = sorted(lengths)[int((1 - max_share) * (len(lengths) - 1))]
        most = sorted(room)[int(max_share * (len(room) - 1))]  # that the context leaves after nearly every prompt
        others = "leave long examples out, or take a model with a longer context."
        if enough > most:
            return Finding("failed", counts, others.capitalize())
        return Finding("failed", counts, f"Set max_new_tokens={min(2 * enough, most)}, {others}")
    return Finding("ok", counts)


def _room(renderer: Renderer, example: Example) -> int:
    """Tokens of the context that a prompt leaves to its completion."""
    try:
        return renderer.max_length - len(renderer.prompt(zero_shot(example)))
    except TemplateError:  # the prompt alone is too long
        return 0
