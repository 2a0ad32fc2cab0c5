"""Conversations to token ids with the model's own chat template, and completions with their end-of-turn token.

Prompt and completion are encoded apart, exactly as they stand when the model samples: training sees the tokens that
generation will see, and the supervised span is exact to the token.
"""

import re
from collections.abc import Sequence
from typing import Any

from whit.core.errors import PromptTooLongError, TemplateError
from whit.core.types import Message
from whit.data.batch import Document

PLAIN = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ 'Answer: ' + m['content'] + eos_token + '\n' }}"
    "{% else %}{{ ('Question: ' if m['role'] == 'user' else '') + m['content'] + '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Answer:' }}{% endif %}"
)
"""A template for base models that have none: `template = "plain"` in a recipe."""


class Renderer:
    """Renders for one tokenizer.

    stop_ids: tokens that end a turn: the template's own, the tokenizer's end of text, the generation config's.
    end_of_turn: the token that closes an assistant turn in the template; the last supervised token of a completion.
    lead: what the template writes between the opened turn and the assistant's text, such as a blank.
    Raises TemplateError when the tokenizer has no chat template and none is given.
    """

    def __init__(self, tokenizer: Any, *, max_length: int, more_stops: Sequence[int] = (), template: str | None = None):
        self.tokenizer, self.max_length = tokenizer, max_length
        if template == "plain":
            template = PLAIN
        self.template = template or tokenizer.chat_template
        if not self.template:
            raise TemplateError(
                f"the tokenizer of {tokenizer.name_or_path} has no chat template, so prompts cannot be rendered. "
                "Use the instruct variant of the model, add chat_template.jinja to its directory, "
                'or set template = "plain" (Question: ... Answer: ...).'
            )
        self.end_of_turn = self._find_end_of_turn()
        self.stop_ids = frozenset({self.end_of_turn, *more_stops} | self._eos())

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids up to where the assistant's text begins.

        Raises PromptTooLongError, which is a TemplateError, when they leave no room in the model's context.
        """
        ids = self._encode(self._text(messages, open_turn=True))
        if len(ids) >= self.max_length:
            raise PromptTooLongError(
                f"a prompt has {len(ids)} tokens and the model's context holds {self.max_length}: "
                f"'{messages[-1].content[:60]}...'. Shorten it, or use a model with a longer context.",
                len(ids),
                self.max_length,
            )
        return ids

    def places(self, messages: Sequence[Message], text: str) -> tuple[int, int] | None:
        """The tokens of `prompt(messages)`, from the one to before the other, that spell `text` in the last message.

        None where it does not stand there as words of its own, or more than once.
        """
        whole = self._text(messages, open_turn=True)
        last = max(0, whole.rfind(messages[-1].content))  # a template may change what it writes: then all of it
        found = list(re.compile(rf"(?<!\w){re.escape(text)}(?!\w)").finditer(whole, last))
        if len(found) != 1 or not text:
            return None
        start = found[0].start()
        spans = self.tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        touched = [i for i, (low, high) in enumerate(spans) if low < start + len(text) and high > start]
        return (touched[0], touched[-1] + 1) if touched else None

    def completion(self, text: str) -> list[int]:
        """Token ids of an assistant's text, the end-of-turn token included."""
        return [*self._encode(self.lead + text), self.end_of_turn]

    def document(self, messages: Sequence[Message], completion: str) -> Document:
        """Prompt and completion; every token of the completion and its end-of-turn is supervised.

        Raises TemplateError when they do not fit the model's context.
        """
        prompt, answer = self.prompt(messages), self.completion(completion)
        if len(prompt) + len(answer) > self.max_length:
            raise TemplateError(
                f"a prompt with its completion has {len(prompt) + len(answer)} tokens and the model's context holds "
                f"{self.max_length}: '{messages[-1].content[:60]}...'. Shorten or leave out this example, or use a model "
                "with a longer context."
            )
        return Document(ids=prompt + answer, spans=((len(prompt), len(prompt) + len(answer)),))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of a completion, without its stop token."""
        ids = list(ids)
        while ids and ids[-1] in self.stop_ids:
            ids.pop()
        return str(self.tokenizer.decode(ids, skip_special_tokens=False)).strip()

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _text(self, messages: Sequence[Message], *, open_turn: bool) -> str:
        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            text = self.tokenizer.apply_chat_template(
                turns, chat_template=self.template, tokenize=False, add_generation_prompt=open_turn
            )
        except Exception as error:  # templates are programs: jinja raises whatever they raise
            raise TemplateError(f"the chat template of {self.tokenizer.name_or_path} failed: {error}") from error
        return str(text)

    def _find_end_of_turn(self) -> int:
        """The first special token that the template writes after an assistant's text, else the end of text."""
        probe = "whit-probe"
        opened = self._text([Message("user", "x")], open_turn=True)
        closed = self._text([Message("user", "x"), Message("assistant", probe)], open_turn=False)
        head, found, tail = closed.rpartition(probe)
        if not found:
            raise TemplateError(f"the chat template of {self.tokenizer.name_or_path} drops the assistant's text.")
        # What the template puts between the opened turn and the text (a blank, say) leads every completion.
        self.lead = head[len(opened) :] if head.startswith(opened) else ""
        special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        for token in self._encode(tail):
            if token in special:
                return token
        if self.tokenizer.eos_token_id is None:
            raise TemplateError(
                f"the chat template of {self.tokenizer.name_or_path} ends an assistant turn with no special token and "
                "the tokenizer has no end-of-text token: the model could never learn to stop. Set eos_token."
            )
        return int(self.tokenizer.eos_token_id)

    def _eos(self) -> set[int]:
        return set() if self.tokenizer.eos_token_id is None else {int(self.tokenizer.eos_token_id)}
