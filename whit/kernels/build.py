"""The C++ operators, compiled for this processor when they are first needed and kept under their content's key.

No compiler is needed: without one, PyTorch's own operators do the same work in more passes. WHIT_KERNELS=0 asks for that.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCES = ("cpu.cpp", "attention.cpp", "decode.cpp", "divergence.cpp", "sample.cpp", "heads.h", "product.h", "cpu.h")
CACHE = Path("~/.cache/whit/kernels")
# Sums may be reordered, so that they use vectors; infinities and what is not a number keep their meaning.
FLAGS = (
    "-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math",
)  # fmt: skip
POINTER, COUNT, REAL, THREADS = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_int
SIGNATURES: dict[str, list[Any]] = {
    "rms_norm": [POINTER] * 4 + [COUNT] * 2 + [REAL, THREADS],
    "rms_norm_backward": [POINTER] * 6 + [COUNT] * 2 + [THREADS],
    "silu_mul": [POINTER] * 3 + [COUNT] * 3 + [THREADS],
    "silu_mul_backward": [POINTER] * 5 + [COUNT] * 3 + [THREADS],
    "rotate": [POINTER] * 4 + [COUNT] * 4 + [REAL, THREADS],
    "log_prob": [POINTER] * 5 + [COUNT] * 2 + [REAL, THREADS],
    "log_prob_backward": [POINTER] * 7 + [COUNT] * 2 + [REAL, THREADS],
    "divergence": [POINTER] * 4 + [COUNT] * 5 + [REAL] * 3 + [THREADS],
    "divergence_backward": [POINTER] * 5 + [COUNT] * 5 + [REAL] * 3 + [THREADS],
    "attention": [POINTER] * 6 + [COUNT] * 4 + [REAL, THREADS],
    "attention_backward": [POINTER] * 11 + [COUNT] * 4 + [REAL, COUNT, THREADS],
    "sample": [POINTER] * 4 + [COUNT] * 2 + [REAL, COUNT, ctypes.c_double, THREADS],
    "pack": [POINTER] * 2 + [COUNT] * 2 + [THREADS],
    "decode": [POINTER] * 5 + [COUNT] * 2 + [THREADS],
    "attend": [POINTER] * 7 + [COUNT] * 7 + [REAL, THREADS],
}


def runs(*tensors: Tensor) -> bool:
    """Whether the compiled operators take these: bfloat16 on a CPU."""
    return all(t.dtype == torch.bfloat16 and t.device.type == "cpu" for t in tensors) and library() is not None


def native() -> ctypes.CDLL:
    """The operators, where `runs` has said that there are some."""
    found = library()
    assert found is not None
    return found


@functools.cache
def library() -> ctypes.CDLL | None:
    """The operators, or None where they cannot be had: `why_not` says why."""
    return _load()[0]


def why_not() -> str:
    """Why PyTorch's operators are used; empty if they are not."""
    return _load()[1]


@functools.cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    return open_library(SOURCES, FLAGS, SIGNATURES)


def open_library(
    sources: Sequence[str], flags: Sequence[str], signatures: Mapping[str, list[Any]]
) -> tuple[ctypes.CDLL | None, str]:
    """The functions of these files of this directory, built where they are not yet; or None, and why not."""
    if os.environ.get("WHIT_KERNELS") == "0":
        return None, "WHIT_KERNELS=0"
    if platform.system() != "Linux":
        return None, f"they are built on Linux only, and this is {platform.system()}"
    compiler = next((path for name in ("g++", "clang++") if (path := shutil.which(name))), None)
    if compiler is None:
        return None, "no C++ compiler (g++ or clang++) is on the PATH"
    try:
        found = ctypes.CDLL(str(_built(compiler, sources, flags)))
    except subprocess.CalledProcessError as e:
        return None, f"{compiler} could not build the operators: {e.stderr.strip().splitlines()[-1:]}"
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as e:  # RuntimeError: there is no home directory
        return None, str(e)
    for name, types in signatures.items():
        getattr(found, name).argtypes, getattr(found, name).restype = types, None
    return found, ""


def _built(compiler: str, sources: Sequence[str], flags: Sequence[str]) -> Path:
    """The shared library of these sources, these flags, this compiler and this processor."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
    files = [Path(__file__).parent / name for name in sources]
    key = hashlib.sha256(
        "\0".join([*(file.read_text() for file in files), *flags, version, _processor()]).encode()
    ).hexdigest()[:16]
    target = CACHE.expanduser() / f"{files[0].stem}-{key}.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        inputs = [str(file) for file in files if file.suffix == ".cpp"]
        with tempfile.TemporaryDirectory(dir=target.parent) as beside:
            made = Path(beside, target.name)
            command = [compiler, "-std=c++17", "-fPIC", "-shared", *inputs, *flags, "-o", str(made)]
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
            made.rename(target)  # whole or not at all, whoever else builds it now
    return target


def _processor() -> str:
    """What -march=native depends on: a home directory may be shared by machines of several kinds."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    kept = ("model name", "flags", "Features", "CPU part")
    first = {line.partition(":")[0].strip(): line for line in reversed(lines) if line.startswith(kept)}
    return platform.machine() + "".join(first.values())
