"""A model's own completions that the verifier accepts, to train on.  Source: arXiv:2203.14465."""

from whit.core.errors import RunError
from whit.core.rundir import Run
from whit.core.seeds import key64
from whit.core.types import Example, Group
from whit.data.batch import Document
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.prompting.zero_shot import zero_shot
from whit.rewards.accuracy import accuracy
from whit.rollouts.batches import plain_document
from whit.rollouts.collect import collect
from whit.stages._setup import Trainee, in_epochs


def accepted_documents(
    trainee: Trainee, run: Run, examples: list[Example], share: float, samples: int, prompts: int, sampling: Sampling
) -> list[Document]:
    """Rejection sampling until its share of the budget is spent; different accepted completions of a prompt are kept.

    It draws from streams keyed by round, so a resumed stage samples the same completions again and charges them once.
    """
    engine = Engine(trainee.policy.decoder, trainee.renderer.stop_ids, decode=trainee.renderer.decode)
    indices = in_epochs(len(examples), prompts, run.seed, "own-order", None)
    limit = share * (run.ledger.limit_flops or 0.0)
    kept: dict[tuple[str, str], Document] = {}
    step = 0
    while run.ledger.flops < limit:
        chosen = [examples[i] for i in dict.fromkeys(indices(step) or [])]
        groups: list[Group] = collect(
            engine, trainee.renderer, chosen, zero_shot, accuracy, num_samples=samples, sampling=sampling,
            seed=key64(run.seed, "own-completions", step), ledger=run.ledger,
        )  # fmt: skip
        for group in groups:
            for rollout in group.rollouts:
                if rollout.verdict.correct and rollout.finish == "stop":
                    kept[group.example.id, rollout.text] = plain_document(rollout)
        step += 1
        run.notify({"progress": run.ledger.progress, "kept": len(kept)})
    if not kept:
        raise RunError(
            f"none of {step * prompts * samples} sampled completions was accepted by the verifier, so there is nothing "
            'to train on. Start with source = "rationales" or "answers", or a stronger model.'
        )
    return list(kept.values())
