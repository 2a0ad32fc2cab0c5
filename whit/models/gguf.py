"""A GGUF file as a model directory: converted once, through transformers, and kept under its content's key."""

import importlib.util
import os
import shutil
from pathlib import Path

import torch

from whit.core.errors import ModelError
from whit.core.rundir import digest_of, saving

CACHE = Path("~/.cache/whit/gguf")
# A head that was quantised apart from the embedding that it repeats differs from it by rounding, a few percent of the
# norm at 4 bits; two different matrices differ by 1.4 of it.
MAX_ROUNDING = 0.2


def from_gguf(file: Path, cache: Path = CACHE) -> Path:
    """The model directory made of a GGUF file, in float32 when the file holds floats, else de-quantised to bfloat16.

    Raises ModelError for a file that is missing, is not GGUF, or has an architecture that transformers does not read.
    """
    _check(file)
    target = cache.expanduser() / f"{file.stem}-{digest_of(file)}"
    if target.exists():
        return target
    beside = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        _convert(file, beside)
        with saving(target.parent):
            if not target.exists():  # another process may have been faster
                beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target


def _check(file: Path) -> None:
    if not file.is_file():
        raise ModelError(f"there is no file {file}.")
    with file.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise ModelError(f"{file} is not a GGUF file: it does not begin with 'GGUF'. Copy or download it again.")
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(f"reading {file} needs the package gguf: pip install 'whit[gguf]'.")


def _convert(file: Path, directory: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()  # of weights on this disk
    architecture, dtype = _read_header(file)
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=dtype, quantization_config=GgufConfig(dequantize=True)
        )
    except Exception as error:
        raise ModelError(
            f"transformers cannot read {file}, of the architecture '{architecture}' ({error}). "
            "Give the model as a directory with safetensors instead."
        ) from error
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    if embedding.shape == head.shape and (embedding - head).norm() < MAX_ROUNDING * head.norm():
        # The published model ties them and the file stores both, the head with more bits.
        model.config.tie_word_embeddings = True
        model.get_input_embeddings().weight = head
    with saving(directory):
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)


def _read_header(file: Path) -> tuple[str, torch.dtype]:
    """The architecture's name, and the dtype that keeps what the file holds."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
        architecture = str(reader.fields["general.architecture"].contents())
    except Exception as error:
        raise ModelError(f"{file} is damaged or cut short ({error}). Copy or download it again.") from error
    has_floats = all(tensor.tensor_type.name in ("F32", "F16") for tensor in reader.tensors)
    return architecture, torch.float32 if has_floats else torch.bfloat16
