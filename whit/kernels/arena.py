"""The memory of tensors, kept between the steps of a training run on a CPU: `arena.cpp` from Python."""

import ctypes
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from whit.kernels.build import open_library

SIGNATURES = {"arena_open": [ctypes.c_int64, ctypes.POINTER(ctypes.c_int)], "arena_close": []}


@contextmanager
def kept_memory() -> Iterator[bool]:
    """Inside, what tensors give back stays with the process for the next ones; at the end the system gets it.

    Yields whether it does. Where it cannot be built, or the system grants no addresses for it, PyTorch allocates as ever.
    """
    library, is_open = _library(), ctypes.c_int(0)
    if library is not None:
        library.arena_open(_addresses(), ctypes.byref(is_open))
    try:
        yield bool(is_open)
    finally:
        if library is not None and is_open:
            library.arena_close()


@functools.cache
def _library() -> ctypes.CDLL | None:
    """Built against the headers and the library of this very PyTorch."""
    home = Path(torch.__file__).parent
    abi = int(torch.compiled_with_cxx11_abi())
    flags = (
        "-O2", f"-I{home / 'include'}", f"-L{home / 'lib'}", "-lc10", f"-D_GLIBCXX_USE_CXX11_ABI={abi}",
        f"-DTORCH={torch.__version__}",
    )  # fmt: skip
    return open_library(("arena.cpp",), flags, SIGNATURES)[0]


def _addresses() -> int:
    """Of all physical memory: what could be held at once."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
