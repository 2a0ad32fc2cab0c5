"""Model directories in and out, in the ordinary Hugging Face layout: `config.json`, safetensors, tokenizer.

Nothing is unpickled and no remote code runs.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from whit.core.errors import ModelError, NoSuchModelError, did_you_mean
from whit.core.files import made_beside, read_record
from whit.core.hub import answers, quietly
from whit.core.rundir import saving
from whit.models.causal import CausalLM
from whit.models.config import DecoderConfig, parse_config
from whit.models.decoder import Decoder
from whit.models.gguf import from_gguf
from whit.models.hub import HubDecoder, load_hub

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "vocab.json",
    "merges.txt", "tokenizer.model", "added_tokens.json", "generation_config.json",
)  # fmt: skip
HUB_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "tokenizer.model")
ENCODER = "sentence-transformers/all-mpnet-base-v2"
ENCODER_FILES = (
    "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt",
    "vocab.json", "merges.txt", "sentencepiece.bpe.model", "1_Pooling/config.json",
)  # fmt: skip


@dataclass
class Policy:
    """A model with what belongs to it: decoder, tokenizer, and the directory it came from.

    stop_ids: stop tokens that its generation config names; those of its chat template are added where it is trained, and
        are saved with it.
    """

    decoder: CausalLM
    tokenizer: Any
    path: Path
    stop_ids: tuple[int, ...] = ()

    def save(self, directory: Path, dtype: torch.dtype | None = None) -> None:
        """Write a directory that transformers loads unchanged."""
        assert not any("lora_" in name for name, _ in self.decoder.named_parameters()), "merge_lora comes first"
        if isinstance(self.decoder, HubDecoder):
            self.decoder.save(directory, dtype)
        else:
            assert isinstance(self.decoder, Decoder)
            save_decoder(self.decoder, directory, dtype)
        with saving(directory):
            self.tokenizer.save_pretrained(directory)
            self._save_generation_config(directory / "generation_config.json")

    def _save_generation_config(self, target: Path) -> None:
        """What the source had, with every stop token: elsewhere too, the model ends where it was taught to end."""
        source = self.path / target.name
        values = _read_json(source) if source.exists() else {}
        if self.stop_ids:
            values["eos_token_id"] = sorted(self.stop_ids)
        if self.decoder.never:
            values["suppress_tokens"] = list(self.decoder.never)
        if values:
            target.write_text(json.dumps(values, indent=2) + "\n")


def load_policy(path: Path, *, dtype: str = "float32", device: str = "cpu") -> Policy:
    """The model and tokenizer of a directory; an architecture that decoder.py does not cover runs through transformers.

    Raises ModelError for a missing or damaged file, naming it, and for a model that whit cannot run.
    """
    config = parse_config(read_config(path))
    tokenizer = load_tokenizer(path)
    decoder: CausalLM
    if config is None:
        decoder = load_hub(path, dtype=DTYPES[dtype], device=device)
    else:
        decoder = load_decoder(path, config, dtype=dtype, device=device)
    decoder.never = _ids(path, "suppress_tokens")
    return Policy(decoder, tokenizer, path, generation_stops(path))


def resolve_model(name: str) -> Path:
    """The directory of a model, given as a directory, a GGUF file (converted once), a nickname, or a name on the hub.

    A nickname is a directory in whit/assets or in $WHIT_MODELS (default ~/.cache/whit/models).
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return _made_by(path) or path
    if path.suffix == ".gguf":
        return from_gguf(path)
    for home in _homes():
        if (home / name).is_dir():
            return home / name
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+", name):
        return _from_hub(name)
    nicknames = [found.name for home in _homes() for found in home.glob("*") if (found / "config.json").exists()]
    raise NoSuchModelError(f"there is no model '{name}': no directory, and no nickname.{did_you_mean(name, nicknames)}")


def _made_by(directory: Path) -> Path | None:
    """The model of a run, or of a study's best run; None when the directory is neither."""
    if (directory / "leaderboard.json").exists():
        best = read_record(directory / "leaderboard.json")["best_run"]
        if best is None:
            raise ModelError(f"{directory}: no run of this study is finished, so it has no best model yet.")
        directory = directory / "runs" / best
    if not (directory / "run.json").exists():
        return None
    made = read_record(directory / "run.json")["model"]
    found = made_beside(directory / "run.json", made)
    if found is None:
        raise ModelError(f"{directory}: its model, {made or 'none'}, is not there. Run it again to make it.")
    return found


def read_config(path: Path) -> dict[str, Any]:
    """`config.json` as plain values."""
    if not path.is_dir():
        raise ModelError(f"there is no model directory {path}.")
    file = path / "config.json"
    if not file.exists():
        raise ModelError(f"{path} holds no config.json: it is not a model directory.")
    return _read_json(file)


def load_decoder(path: Path, config: DecoderConfig, *, dtype: str = "float32", device: str = "cpu") -> Decoder:
    """The weights of a directory in our decoder."""
    with torch.device("meta"):
        decoder = Decoder(config)
    tensors = {name: tensor.to(DTYPES[dtype]) for name, tensor in _read_tensors(path).items()}
    return fill(decoder, tensors, path, device)


def fill(decoder: Decoder, tensors: Mapping[str, torch.Tensor], path: Path, device: str = "cpu") -> Decoder:
    """Give a decoder (made on the meta device) its weights; a tied head stays the embedding itself."""
    is_tied = decoder.config.shape.is_tied
    tensors = {k: v for k, v in tensors.items() if not k.endswith("rotary_emb.inv_freq")}
    if is_tied:
        tensors["lm_head.weight"] = tensors.get("model.embed_tokens.weight", tensors.get("lm_head.weight"))  # type: ignore[assignment]
    expected = decoder.state_dict()
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or unknown:
        raise ModelError(f"{path}: weights do not fit config.json; missing {missing[:3]}, not expected {unknown[:3]}.")
    for name, tensor in expected.items():
        if tensor.shape != tensors[name].shape:
            raise ModelError(
                f"{path}: {name} has shape {tuple(tensors[name].shape)}, config.json says {tuple(tensor.shape)}."
            )
    decoder.load_state_dict(dict(tensors), assign=True)
    if is_tied:
        decoder.lm_head.weight = decoder.model.embed_tokens.weight
    return decoder.to(device)


def save_decoder(decoder: Decoder, directory: Path, dtype: torch.dtype | None = None) -> None:
    """config.json and model.safetensors; a tied head is stored once, as transformers does."""
    state = {k: v.detach().to("cpu", dtype or v.dtype).contiguous() for k, v in decoder.state_dict().items()}
    if decoder.config.shape.is_tied:
        state.pop("lm_head.weight")
    config = dict(decoder.config.raw)
    config["dtype"] = str(next(iter(state.values())).dtype).removeprefix("torch.")
    config.pop("torch_dtype", None)
    with saving(directory):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        write_tensors(state, directory / "model.safetensors", like=directory / "config.json")


def write_tensors(tensors: dict[str, torch.Tensor], path: Path, *, like: Path) -> None:
    """A safetensors file that whoever may read `like` may read: the library leaves it to its owner alone."""
    save_file(tensors, path, metadata={"format": "pt"})
    shutil.copymode(like, path)


def load_tokenizer(path: Path) -> Any:
    """The tokenizer of a directory, through transformers."""
    if not any((path / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise ModelError(
            f"{path} has no tokenizer (tokenizer.json, tokenizer.model or vocab.json). "
            "Copy the tokenizer files of the model that it was made from into it."
        )
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except Exception as error:
        raise ModelError(f"the tokenizer in {path} cannot be loaded: {error}") from error


def generation_stops(path: Path) -> tuple[int, ...]:
    """Stop tokens of `generation_config.json`, if there is one."""
    return _ids(path, "eos_token_id")


def _ids(path: Path, name: str) -> tuple[int, ...]:
    """The ids that `generation_config.json` names, one or several."""
    file = path / "generation_config.json"
    found = _read_json(file).get(name) if file.exists() else None
    if found is None:
        return ()
    return tuple(found) if isinstance(found, list) else (int(found),)


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    index = path / "model.safetensors.index.json"
    if index.exists():
        names = sorted(set(_read_json(index).get("weight_map", {}).values()))
    else:
        names = ["model.safetensors"]
    tensors: dict[str, torch.Tensor] = {}
    for name in names:
        file = path / name
        if not file.exists():
            other = [p.name for p in path.glob("pytorch_model*.bin")]
            hint = (
                f" It holds {other[0]}, a pickle, which whit does not open: convert it to safetensors." if other else ""
            )
            raise ModelError(f"{path} has no {name}.{hint}")
        try:
            tensors |= load_file(file)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{file} is damaged or cut short ({error}). Copy or download it again.") from error
    return tensors


def _read_json(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text())
    except ValueError as error:
        raise ModelError(f"{file} is not valid JSON ({error}). Copy or download it again.") from error
    if not isinstance(values, dict):
        raise ModelError(f"{file} holds no JSON object. Copy or download it again.")
    return values


def _homes() -> list[Path]:
    models = os.environ.get("WHIT_MODELS", "~/.cache/whit/models")
    return [Path(__file__).parents[1] / "assets", Path(models).expanduser()]


def resolve_encoder(name: str) -> Path:
    """The directory of a sentence encoder, given as one or as a name on the hub. Raises NoSuchModelError for neither."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+", name):
        return _from_hub(name, ENCODER_FILES, ())
    raise NoSuchModelError(f"there is no encoder '{name}'. Give a directory, or a name on the hub, such as {ENCODER}.")


@cache
def _from_hub(name: str, files: tuple[str, ...] = HUB_FILES, ignored: tuple[str, ...] = ("*/*",)) -> Path:
    """ignored: by default folders inside a repository, which hold other formats of the same weights."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError

    is_reachable = answers(name, "model")
    try:
        with quietly():
            return Path(
                snapshot_download(
                    name, allow_patterns=list(files), ignore_patterns=list(ignored), local_files_only=not is_reachable
                )
            )
    except RepositoryNotFoundError as error:
        raise NoSuchModelError(
            f"'{name}' is neither a directory nor a nickname here, and the Hugging Face hub shows no model of this name. "
            "Check the name; a private or gated model needs a token (`hf auth login`)."
        ) from error
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        reason = reason if is_reachable else "no network, and not in the cache"
        raise ModelError(
            f"'{name}' is neither a directory nor a nickname here, and cannot be fetched from the Hugging Face hub "
            f"({reason}). Without network, copy the model's directory to this machine and give its path."
        ) from error
