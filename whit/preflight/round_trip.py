"""Whether what is saved is what was trained."""

import tempfile
from pathlib import Path

import torch

from whit.models.attention import Packed
from whit.models.load import Policy
from whit.preflight._types import Finding, verdict

NUM_TOKENS = 32


@torch.no_grad()
def round_trip(policy: Policy, *, max_difference: float = 1e-3) -> Finding:
    """Saved and loaded by transformers, the model has the same logits, parameters and tied head.

    max_difference: mean, in standard deviations of the logits.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    decoder = policy.decoder
    vocab_size = min(decoder.config.shape.vocab_size, len(policy.tokenizer))
    tokens_L = torch.linspace(0, vocab_size - 1, NUM_TOKENS).long()
    with tempfile.TemporaryDirectory() as directory:
        policy.save(Path(directory))
        loaded = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, trust_remote_code=False)
        theirs_LV = loaded(tokens_L[None], use_cache=False).logits[0]
        count = sum(p.numel() for p in loaded.parameters())
        is_tied = loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
        del loaded
    device = next(decoder.parameters()).device
    attention = Packed((NUM_TOKENS,), device)
    ours_LV = (
        decoder.logits(decoder(tokens_L.to(device), torch.arange(NUM_TOKENS, device=device), attention)).float().cpu()
    )
    difference = float((ours_LV - theirs_LV).abs().mean() / theirs_LV.std())
    own = sum(p.numel() for p in decoder.parameters())
    tied = decoder.config.shape.is_tied
    is_same = count == own and is_tied == tied
    head = "tied" if is_tied else "not tied"
    other = "" if is_same else f" (here {own:,} and {'tied' if tied else 'not tied'})"
    return verdict(
        is_same and difference <= max_difference,
        f"transformers loads what is saved: logits within {difference:.1g} standard deviations, {count:,} parameters, "
        f"head {head}{other}",
        "What would be exported is not this model: report it with the model's name.",
    )
