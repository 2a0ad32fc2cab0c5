"""`whit doctor`: versions, device, what is missing and how to get it."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys

from whit.cli._options import Json
from whit.cli._show import as_json, say, size

NEEDED = ("torch", "transformers", "safetensors", "pydantic", "numpy", "scipy", "typer")
EXTRAS = {"peft": "lora", "datasets": "hub", "gguf": "gguf", "pyarrow": "parquet"}


def doctor(json: Json = False) -> None:
    """Say what whit finds on this machine, and how to get what is missing."""
    facts = [*_machine(), *_packages()]
    if json:
        as_json([{"what": what, "found": found, "remedy": remedy} for what, found, remedy in facts])
        return
    for what, found, remedy in facts:
        say(f"{what:<14} {found}" + (f"  ->  {remedy}" if remedy else ""))


def _machine() -> list[tuple[str, str, str]]:
    import torch

    from whit.stages._probe import has_fast_bfloat16

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    rows = [
        ("python", f"{sys.version.split()[0]} on {platform.system()} {platform.machine()}", ""),
        ("cores", f"{os.cpu_count()}, {size(memory)} of memory, {size(shutil.disk_usage('.').free)} of disk free", ""),
    ]
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        rows.append(("gpu", f"{properties.name}, {size(properties.total_memory)}", ""))
    else:
        rows.append(("gpu", "none: everything runs on the CPU", ""))
    fast = has_fast_bfloat16()
    rows.append(("bfloat16", "in hardware" if fast else "not in hardware: float32 is used", ""))
    return rows


def _packages() -> list[tuple[str, str, str]]:
    rows = []
    for name in NEEDED:
        rows.append((name, importlib.metadata.version(name), ""))
    for name, extra in EXTRAS.items():
        if importlib.util.find_spec(name):
            rows.append((name, importlib.metadata.version(name), ""))
        else:
            rows.append((name, "not installed", f"pip install 'whit[{extra}]'"))
    return rows
