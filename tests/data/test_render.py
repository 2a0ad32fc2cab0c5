"""Training sees the tokens that generation will see."""

import copy
from typing import Any

import pytest

from whit.core.errors import TemplateError
from whit.core.types import Example, Message
from whit.data.render import PLAIN, Renderer
from whit.prompting.few_shot import few_shot
from whit.testing.tiny import tiny_tokenizer

ASKED = [Message("user", "How many apples?")]
CHATML = (
    "{% for m in messages %}{{ '<|user|>' + m['role'] + '\n' + m['content'] + '<|end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|user|>assistant\n' }}{% endif %}"
)
"""Like the templates of SmolLM2 and Qwen: a line break follows the token that ends a turn."""
WITH_BLANK = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|assistant|> ' + m['content'] + '<|end|>' }}"
    "{% else %}{{ '<|user|>' + m['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
EACH_TEMPLATE = pytest.mark.parametrize("template", [None, "plain", CHATML, WITH_BLANK])


def render(template: str | None = None, **settings: Any) -> Renderer:
    return Renderer(tiny_tokenizer(), **{"max_length": 256, "template": template, **settings})


def tokenizer_with(**changes: Any) -> Any:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    return tokenizer


def text_of(ids: list[int]) -> str:
    return tiny_tokenizer().decode(ids)


def token(name: str) -> int:
    return tiny_tokenizer().convert_tokens_to_ids(name)


@EACH_TEMPLATE
def test_a_document_is_the_prompt_and_then_the_completion_that_is_supervised(template):
    renderer = render(template)
    document = renderer.document(ASKED, "6 apples\n#### 6")
    prompt = renderer.prompt(ASKED)
    assert document.ids == prompt + renderer.completion("6 apples\n#### 6")
    assert document.spans == ((len(prompt), len(document.ids)),)


@EACH_TEMPLATE
def test_the_token_that_ends_a_turn_is_supervised_and_stops_generation(template):
    renderer = render(template)
    document = renderer.document(ASKED, "6")
    assert document.ids[-1] == renderer.end_of_turn == token("<|end|>")
    assert document.spans[0][1] == len(document.ids)
    assert renderer.end_of_turn in renderer.stop_ids


@EACH_TEMPLATE
def test_a_completion_reads_as_the_template_writes_it(template):
    renderer = render(template)
    whole = tiny_tokenizer().apply_chat_template(
        [{"role": "user", "content": "How many apples?"}, {"role": "assistant", "content": "6"}],
        chat_template=renderer.template, tokenize=False,
    )  # fmt: skip
    assert text_of(renderer.document(ASKED, "6").ids) == whole.removesuffix("\n")


@EACH_TEMPLATE
@pytest.mark.parametrize("text", ["6 apples\n#### 6", "3 * 2 = 6.", "é ∑ 日本", ""])
def test_what_is_rendered_is_decoded_again(template, text):
    renderer = render(template)
    assert renderer.decode(renderer.completion(text)) == text


def test_plain_asks_a_question_and_leads_to_its_answer():
    renderer = render("plain")
    assert renderer.template == PLAIN
    assert text_of(renderer.prompt(ASKED)) == "Question: How many apples?\nAnswer:"
    assert text_of(renderer.completion("6")) == " 6<|end|>"


def test_plain_writes_demonstrations_as_it_asks():
    shots = few_shot(Example("2", "And pears?", "7", instruction=""), [Example("1", "Apples?", "6", instruction="")])
    assert text_of(render("plain").prompt(shots)) == (
        "Question: Apples?\nAnswer: #### 6<|end|>\nQuestion: And pears?\nAnswer:"
    )


def test_more_stops_and_the_end_of_text_stop_generation():
    assert render(more_stops=(7,)).stop_ids == {7, token("<|end|>")}


def test_decoding_takes_off_stop_tokens_at_the_end_only():
    renderer = render()
    end = renderer.end_of_turn
    assert renderer.decode([*renderer.completion("6"), end]) == "6"
    assert renderer.decode([end, *renderer.completion("6")]) == "<|end|>6"


def test_no_template_is_an_error_that_says_what_to_do():
    with pytest.raises(TemplateError, match='template = "plain"'):
        Renderer(tokenizer_with(chat_template=None), max_length=256)


def test_a_template_that_fails_is_an_error_that_says_why():
    with pytest.raises(TemplateError, match="no system turn"):
        render("{{ raise_exception('no system turn') }}")


def test_a_template_that_drops_the_assistants_text_is_refused():
    with pytest.raises(TemplateError, match="drops the assistant"):
        render("{{ messages[0]['content'] }}")


def test_a_model_that_could_never_learn_to_stop_is_refused():
    with pytest.raises(TemplateError, match="never learn to stop"):
        Renderer(tokenizer_with(eos_token=None), max_length=256, template="{{ messages[-1]['content'] }}")


def test_a_prompt_that_leaves_no_room_is_refused():
    length = len(render().prompt(ASKED))
    assert render(max_length=length + 1).prompt(ASKED)
    with pytest.raises(TemplateError, match=f"a prompt has {length} tokens.*How many apples"):
        render(max_length=length).prompt(ASKED)


def test_a_document_longer_than_the_context_is_refused():
    length = len(render().document(ASKED, "6").ids)
    assert render(max_length=length).document(ASKED, "6")
    with pytest.raises(TemplateError, match=f"has {length} tokens"):
        render(max_length=length - 1).document(ASKED, "6")
