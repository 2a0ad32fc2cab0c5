"""The first process of a sandbox: it has imported what programs import, and forks a child for each of them.

It is process 1 of a pid namespace, so the kernel delivers no signal to it from inside, and every process that a program
leaves behind becomes its child. It ends when whoever started it does: the other end of its control socket is closed then.
"""

import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

from whit.verifiers._inside import judge, program

# What programs import most, so that each child finds it loaded.
PRELOADED = (
    "bisect", "calendar", "cmath", "collections", "copy", "dataclasses", "datetime", "decimal", "enum", "fractions",
    "functools", "heapq", "inspect", "itertools", "math", "operator", "queue", "random", "re", "statistics", "string",
    "struct", "textwrap", "threading", "time", "typing",
)  # fmt: skip
ROLES: dict[bytes, Callable[..., None]] = {b"p": program.serve, b"t": judge.serve}
STOP = b"s"
PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 4, 22, 2


def serve(settings: dict[str, Any]) -> None:
    """Take orders from the control socket, which is descriptor 0: a byte for the role, and the child's descriptors.

    An answer is a line of JSON {"how": words, "is_timeout": bool}, written when the child, all that it left and its files
    are gone.
    settings: {"limits": as `_sandbox.Limits`, "scratch": a directory that is wiped after each child, "place": the
        directory in it that is made for each child, which starts there, "filter": the seccomp filter in hexadecimal,
        "is_contained": whether this is to be process 1, which it is not where a container is none}.
    """
    if settings["is_contained"] and os.getpid() != 1:  # before anything is killed or wiped that is not ours
        sys.exit("this is no container: its first process has another number than 1")
    for name in PRELOADED:
        import_module(name)
    gc.freeze()  # or the first collection of each child would touch, and so copy, all of this
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.environ.clear()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # process 1 is sent only signals that it has a handler for
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # no other process may look into this one
    control.sendall(b"{}\n")
    while True:
        order, fds, _, _ = socket.recv_fds(control, 1, 4)
        if not order:
            return
        if order == STOP:  # it came after the child had ended
            continue
        how, is_timeout = _run(order, fds, control, null, settings)
        _wipe(settings["scratch"])
        try:
            control.sendall(json.dumps({"how": how, "is_timeout": is_timeout}).encode() + b"\n")
        except BrokenPipeError:
            return


def _run(order: bytes, fds: list[int], control: socket.socket, null: int, settings: dict[str, Any]) -> tuple[str, bool]:
    """Run one child to its end or to that of its time: how it ended, in words, and whether for want of time."""
    limits = settings["limits"]
    os.mkdir(settings["place"], 0o700)
    os.utime(settings["scratch"], (0, 0))
    alive, held = os.pipe()  # the child holds the other end, whatever it does, until it ends
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            control.close()
            os.close(alive)
            _confine(settings)
            os.dup2(null, 2)
            with os.fdopen(fds[0]) as file:
                job = file.read()
            ROLES[order](job, *fds[1:])
            os._exit(0)
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else bool(end.code))
        except BaseException:
            traceback.print_exc()  # to nowhere once the program runs
            os._exit(1)
    for fd in (*fds, held):
        os.close(fd)
    ready, _, _ = select.select([control.fileno(), alive], [], [], limits["wall_seconds"])
    os.close(alive)
    status, seconds = _end_all(child, settings)
    if not ready:
        return f"took longer than {limits['wall_seconds']:g} s", True
    code = os.waitstatus_to_exitcode(status)
    if seconds >= limits["cpu_seconds"] or code == -signal.SIGXCPU:
        return f"used more than {limits['cpu_seconds']} s of processor time", True
    return (f"ended with status {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"), False


def _end_all(child: int, settings: dict[str, Any]) -> tuple[int, float]:
    """Kill the child and all that it left, and wait for them: the child's wait status and its seconds of processor time."""
    status, seconds = 0, 0.0
    if settings["is_contained"]:
        os.kill(-1, signal.SIGKILL)  # everything in this pid namespace but this process, at once
    else:
        try:
            os.killpg(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # it has ended, or has not made its group yet
            os.kill(child, signal.SIGKILL)
    while True:
        try:
            ended, how, usage = os.wait4(-1, 0)
        except ChildProcessError:  # nothing is left
            return status, seconds
        if ended == child:
            status, seconds = how, usage.ru_utime + usage.ru_stime


def _confine(settings: dict[str, Any]) -> None:
    """Give up what a program has no use for. The filter is last: it refuses what comes before it."""
    limits = settings["limits"]
    for name, (soft, hard) in {
        "CPU": (limits["cpu_seconds"], limits["cpu_seconds"] + 1),  # the second, when the first signal is ignored
        "AS": (limits["memory_bytes"],) * 2,
        "FSIZE": (limits["scratch_bytes"],) * 2,
        "NOFILE": (limits["num_files"],) * 2,
        "NPROC": (limits["num_threads"],) * 2,
        "MEMLOCK": (0, 0),
        "CORE": (0, 0),
    }.items():
        if not (sys.platform == "darwin" and name in ("AS", "NPROC")):  # macOS refuses the one and counts all of a user
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (soft, hard))
    os.chdir(settings["place"])
    filter = bytes.fromhex(settings["filter"])
    if not filter:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(filter, len(filter))
    fields = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
    sock_fprog = type("sock_fprog", (ctypes.Structure,), {"_fields_": fields})
    arguments = sock_fprog(len(filter) // 8, ctypes.addressof(code))
    for option in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(arguments), 0, 0),
    ):
        if libc.prctl(*option):
            raise OSError(ctypes.get_errno(), "prctl")


def _wipe(directory: str) -> None:
    """Remove all that is in a directory, and what was made of the directory itself: its mode, its attributes, its lists.

    What cannot be removed ends this process, and its container with it.
    """
    os.chmod(directory, 0o700)  # it belongs to the programs' user too: there is no other in here
    if sys.platform == "linux":
        for name in os.listxattr(directory):
            os.removexattr(directory, name)
    while entries := list(os.scandir(directory)):
        for entry in entries:
            _remove(entry, directory)


def _remove(entry: "os.DirEntry[str]", top: str) -> None:
    """Remove a file, or a directory whose own directories move up to `top`: then no depth is too much."""
    if not entry.is_dir(follow_symlinks=False):
        os.unlink(entry.path)
        return
    os.chmod(entry.path, 0o700)
    for inner in list(os.scandir(entry.path)):
        if inner.is_dir(follow_symlinks=False):
            os.chmod(inner.path, 0o700)  # to move a directory is to write in it
            os.rename(inner.path, f"{top}/{os.urandom(16).hex()}")
        else:
            os.unlink(inner.path)
    os.rmdir(entry.path)
