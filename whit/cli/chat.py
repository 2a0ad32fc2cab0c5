"""`whit chat MODEL`: talk to a model; an empty line ends."""

from typing import Annotated

import typer

from whit.cli._options import Device, resolve_device
from whit.cli._show import note, say


def chat(
    model: Annotated[str, typer.Argument(help="A model directory, GGUF file or hub name.")],
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.6,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 512,
    template: Annotated[str | None, typer.Option(help='"plain" for models without a chat template.')] = None,
    device: Device = "auto",
) -> None:
    """Talk to a model in its own chat template."""
    from whit.core.types import Message
    from whit.generation.engine import Engine
    from whit.generation.sampler import Sampling
    from whit.models.load import load_policy, resolve_model
    from whit.stages._model import renderer_of

    policy = load_policy(resolve_model(model), dtype="bfloat16", device=resolve_device(device))
    renderer = renderer_of(policy, template)
    engine = Engine(policy.decoder, renderer.stop_ids, decode=renderer.decode)
    sampling = Sampling(temperature=temperature, max_new_tokens=max_new_tokens)
    messages: list[Message] = []
    note("An empty line ends.")
    while True:
        try:
            text = input("> ").strip()
        except EOFError:
            return
        if not text:
            return
        messages.append(Message("user", text))
        completion = engine.generate([renderer.prompt(messages)], sampling, seed=len(messages))[0][0]
        answer = renderer.decode(completion.ids)
        messages.append(Message("assistant", answer))
        say(answer)
