"""The run's teacher as a distilling stage asks it: a live model of the same or other tokens, or a cache of its logits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from whit.core.errors import BudgetError, DataError, RecipeError, TemplateError
from whit.core.memory import held_bytes, total_bytes
from whit.core.parts import inputs
from whit.core.rundir import Run, digest_of
from whit.core.seeds import key64
from whit.core.settings import Frozen
from whit.core.types import Artifact, Message
from whit.data.alignment import align, token_bytes, vocabulary
from whit.data.batch import Document, Twin
from whit.data.render import Renderer
from whit.data.sparse import DRAWS
from whit.data.teacher_cache import HEADER, CacheFacts, TeacherCache, read_facts
from whit.models.load import Policy, load_policy, resolve_model
from whit.objectives._types import Term
from whit.stages._model import model_shape, renderer_of
from whit.stages._setup import Trainee
from whit.training.teachers import Kept, Live, OtherTokens

Alignment = Literal["bytes", "index"]
CACHE = "teacher-cache"  # of the stage `cache`, in its artifact
TOP = 16  # tokens of a "top" cache: 81 bytes a token
ELEMENT_BYTES = {"float32": 4, "bfloat16": 2, "float64": 8}
USABLE_FRAC = 0.85  # of the memory, as `training/memory.py` has it
Asked = tuple[Sequence[Message], Document]
"""What was asked, and the document that answers it in the student's tokens."""
OTHER_TOKENS = frozenset({"teacher_group_logprobs_GW", "common_ids_C", "teacher_common_ids_C"})
SAME_TOKENS = frozenset({"teacher_logits_TV", "teacher_logprobs_T", "teacher_hidden_TLE"})


class TeacherSpec(Frozen):
    """A teacher beside the run's own, and its weight in the mixture."""

    model: str
    weight: float = Field(1.0, gt=0)


def asks(terms: Sequence[Term], signals: frozenset[str]) -> bool:
    """Whether a term names one of the signals."""
    return any(name in signals for term in terms for name in inputs(term.objective))


def load_teacher(name: str, run: Run) -> Policy:
    """A teacher's model, frozen, in the run's dtype. Raises BudgetError when it does not fit beside what is there."""
    path = resolve_model(name)
    _check_room(path.name, sum(file.stat().st_size for file in path.glob("*.safetensors")), run)
    teacher = load_policy(path, dtype=run.dtype, device=run.device)
    teacher.decoder.requires_grad_(False)
    return teacher


def _check_room(name: str, stored_bytes: int, run: Run) -> None:
    """stored_bytes: of the weights on the disk, which nearly always have two bytes a number."""
    if run.device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info(run.device)
        held = total - free
    else:
        total, held = total_bytes(), held_bytes()
    needed = stored_bytes / 2 * ELEMENT_BYTES[run.dtype]
    free_bytes = max(0.0, USABLE_FRAC * total - held)
    if needed <= free_bytes:
        return
    raise BudgetError(
        f"teacher {name} takes {needed / 2**30:.1f} GiB in {run.dtype}, and {free_bytes / 2**30:.1f} GiB are free beside "
        f"the student: a model of up to {free_bytes / ELEMENT_BYTES[run.dtype] / 1e9:.1f}B parameters fits. "
        "Use dtype=bfloat16, a smaller teacher, or one that need not be here: a cache of its logits (`whit cache` on a "
        "larger machine), a file of its texts (`whit write`), or a server (`whit write http://...`)."
    )


def live_teacher(
    policies: Sequence[Policy], weights: Sequence[float], student: Policy, layers: tuple[int, ...]
) -> Live:
    """The mixture of models that write the student's tokens. Raises RecipeError for one that does not."""
    for teacher in policies:
        check_same_tokens(student.path.name, student.tokenizer, teacher)
    total = sum(weights)
    return Live(tuple(p.decoder for p in policies), tuple(weight / total for weight in weights), layers)


def check_same_tokens(student: str, tokenizer: Any, teacher: Policy) -> None:
    """Raises RecipeError unless each id that the student may write is the same string in the teacher's vocabulary."""
    ours, theirs = tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    if all(theirs.get(token) == index for token, index in ours.items() if index != tokenizer.mask_token_id):
        return
    raise RecipeError(
        f"teacher {teacher.path.name} and student {student} have different tokenizers, so their probabilities cannot be "
        "compared token by token. The objectives uld and byte_merge compare them all the same: stage kd with terms = "
        '[{ objective = "cross_entropy" }, { objective = "uld", weight = 1.5 }]. Or distil through text: give a file of '
        "the teacher's texts (columns prompt and completion) as teacher."
    )


def cache_facts(
    student: Path, renderer: Renderer, teacher: Policy, *, kind: Literal["top", "sampled"], kept: int | None
) -> CacheFacts:
    """What a cache of this teacher's logits on this student's texts depends on. Raises RecipeError for other tokens."""
    check_same_tokens(student.name, renderer.tokenizer, teacher)
    template, tokenizer = _of_student(renderer)
    student_size = model_shape(str(student)).vocab_size
    return CacheFacts(
        teacher=digest_of(teacher.path), teacher_name=teacher.path.name, template=template, tokenizer=tokenizer,
        vocab_size=min(teacher.decoder.config.shape.vocab_size, student_size),
        kind=kind, kept=kept or {"top": TOP, "sampled": DRAWS}[kind],
    )  # fmt: skip


def open_cache(start: Artifact, run: Run, renderer: Renderer, *, is_beside: bool) -> TeacherCache:
    """The cache that the stage before made, or the one that is the run's teacher. Raises DataError unless it is of this
    student's tokens and template, and of the run's teacher where one is named.
    """
    path = start.path / CACHE if is_beside else Path(str(run.teacher))
    if is_beside and not is_cache(path):
        raise DataError(f"stage kd: cached = true, and {start.path} holds no cache. Put the stage `cache` before it.")
    template, tokenizer = _of_student(renderer)
    expected = replace(read_facts(path), template=template, tokenizer=tokenizer)
    if is_beside:
        expected = replace(expected, teacher=digest_of(resolve_model(str(run.teacher))))
    return TeacherCache.open(path, expected)


def is_cache(path: Path) -> bool:
    """Whether a directory is a cache of a teacher's logits."""
    return (path / HEADER).exists()


def kept_teacher(cache: TeacherCache, loss: Sequence[Term]) -> Kept:
    """What spreads the kept tokens out again, where a term wants all of them. Raises RecipeError where that is wrong."""
    name = {"top": "kept_logprobs_TK", "sampled": "kept_shares_TK"}[cache.facts.kind]
    for term in loss:
        named = set(inputs(term.objective))
        if named & (SAME_TOKENS | OTHER_TOKENS) and (
            cache.facts.kind == "sampled" or named & OTHER_TOKENS or "teacher_logprobs_T" in named
        ):
            fits = "sampled_kl" if cache.facts.kind == "sampled" else "topk_kl or forward_kl"
            raise RecipeError(
                f"stage kd: objective '{term.name}' needs a live teacher; {cache.path} holds {cache.facts.kind} tokens, "
                f"which are for {fits}."
            )
        if named & {"kept_logprobs_TK", "kept_shares_TK"} - {name}:
            other = "top" if cache.facts.kind == "sampled" else "sampled"
            raise RecipeError(
                f"stage kd: objective '{term.name}' is for a cache of kind '{other}', and {cache.path} is of kind "
                f"'{cache.facts.kind}'."
            )
    return Kept(cache.facts.vocab_size)


def plain_documents(asked: Sequence[Asked]) -> list[Document]:
    """The documents as they are: a teacher of the same tokens needs nothing more."""
    return [document for _, document in asked]


def _of_student(renderer: Renderer) -> tuple[str, str]:
    """Hashes of the template and of the vocabulary."""
    vocab = sorted(renderer.tokenizer.get_vocab().items())
    return f"{key64(renderer.template):016x}", f"{key64(*map(str, vocab)):016x}"


def other_teacher(student: Policy, teacher: Policy) -> OtherTokens:
    """A teacher of other tokens, and which of them spell the same bytes as one of the student's."""
    ours, theirs = (_spelled(policy) for policy in (student, teacher))
    common = sorted((ours[piece], theirs[piece]) for piece in ours.keys() & theirs.keys())
    device = next(student.decoder.parameters()).device
    return OtherTokens(
        teacher.decoder,
        torch.tensor([own for own, _ in common], device=device),
        torch.tensor([other for _, other in common], device=device),
    )


def _spelled(policy: Policy) -> Mapping[bytes, int]:
    """Ids by the bytes that they spell; what ends a turn is no text."""
    words, size = vocabulary(policy.tokenizer), policy.decoder.config.shape.vocab_size
    return {piece: index for piece, index in words.ids.items() if index not in words.special and index < size}


def twins(
    trainee: Trainee, teacher: Policy, run: Run, alignment: Alignment
) -> Callable[[Sequence[Asked]], list[Document]]:
    """A function that gives documents their twin in the teacher's tokens and template.

    alignment: "bytes" compares stretches of tokens that end at the same byte; "index" the first with the first, as ULD did.
    What cannot be aligned, such as a completion that stops inside a character, is left out.
    """
    renderer, other = trainee.renderer, renderer_of(teacher, run.template)

    def attach(asked: Sequence[Asked]) -> list[Document]:
        found = (_with_twin(messages, document, renderer, other, alignment) for messages, document in asked)
        return [document for document in found if document is not None]

    return attach


def _with_twin(
    messages: Sequence[Message], document: Document, renderer: Renderer, other: Renderer, alignment: Alignment
) -> Document | None:
    ((start, end),) = document.spans
    written = list(document.ids[start:end])
    ends = bool(written) and written[-1] in renderer.stop_ids
    pieces = token_bytes(renderer.tokenizer, written[: len(written) - ends])
    try:
        text = b"".join(pieces).decode()
        prompt = other.prompt(messages)
    except (UnicodeDecodeError, TemplateError):  # bytes that are no text; a prompt that fills the teacher's context
        return None
    # The blank that one template sets before an answer and the other does not belongs to the first stretch.
    theirs = other.completion(text.removeprefix(renderer.lead))
    theirs = theirs if ends else theirs[:-1]
    twin = Document(ids=[*prompt, *theirs], spans=((len(prompt), len(prompt) + len(theirs)),))
    if not theirs or not written or len(twin.ids) > other.max_length:
        return None
    if alignment == "index":
        groups = [(1, 1)] * min(len(written), len(theirs))
    else:
        other_pieces = token_bytes(other.tokenizer, theirs[: len(theirs) - ends])
        try:
            aligned = align(*_led(pieces, other_pieces))
        except DataError:
            return None
        groups = [(len(own), len(others)) for own, others in aligned if len(own) and len(others)] + [(1, 1)] * ends
    return replace(document, twin=Twin(twin, tuple(groups)))


def _led(ours: list[bytes], theirs: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Both texts with the same blanks before them."""
    texts = [b"".join(pieces) for pieces in (ours, theirs)]
    blanks = [text[: len(text) - len(text.lstrip())] for text in texts]
    longest = max(blanks, key=len)
    return tuple(  # type: ignore[return-value]
        [longest.removesuffix(own) + pieces[0], *pieces[1:]] if pieces else pieces
        for own, pieces in zip(blanks, (ours, theirs), strict=True)
    )
