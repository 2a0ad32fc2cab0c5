"""A sentence encoder of transformers: texts as vectors of length 1 that stand near each other where their meanings do.

Source: arXiv:1908.10084. What sentence-transformers does with pooling and normalisation, read from the encoder's files.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from whit.core.errors import ModelError
from whit.core.files import read_record

TEXTS = 64  # of a pass
POOLING = "1_Pooling/config.json"
MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


class Encoder:
    """An encoder such as all-mpnet-base-v2, in float32. Nothing of its directory is run.

    Raises ModelError for a directory that holds none, and for a pooling that is neither the mean nor the first token.
    """

    def __init__(self, path: Path, device: str = "cpu"):
        from transformers import AutoModel, AutoTokenizer

        self.mode = _mode(path)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            model = AutoModel.from_pretrained(path, dtype=torch.float32, trust_remote_code=False, use_safetensors=True)
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} is no sentence encoder that can be read: {error}") from error
        self.model, self.device = model.to(device).eval(), device

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """[N, D], of length 1 each; a text longer than the encoder's context is cut."""
        found = []
        for start in range(0, len(texts), TEXTS):
            batch = self.tokenizer(
                list(texts[start : start + TEXTS]), padding=True, truncation=True, return_tensors="pt"
            ).to(self.device)
            states_NLD = self.model(**batch).last_hidden_state
            mask_NL1 = batch["attention_mask"][..., None].to(states_NLD)
            mean_ND = (states_NLD * mask_NL1).sum(1) / mask_NL1.sum(1).clamp(min=1)
            found.append(states_NLD[:, 0] if self.mode == "cls" else mean_ND)
        return F.normalize(torch.cat(found).cpu(), dim=-1)


def _mode(path: Path) -> str:
    """How states become one vector: the mean over tokens, unless the directory says otherwise."""
    if not (path / POOLING).exists():
        return "mean"
    pooling = read_record(path / POOLING)
    chosen = [name for name, is_on in pooling.items() if name.startswith("pooling_mode_") and is_on is True]
    if len(chosen) != 1 or chosen[0] not in MODES:
        raise ModelError(
            f"{path / POOLING} asks for {', '.join(chosen) or 'no pooling'}. Encoders that take the mean over tokens or "
            "the first token can be used, such as sentence-transformers/all-mpnet-base-v2."
        )
    return MODES[chosen[0]]
