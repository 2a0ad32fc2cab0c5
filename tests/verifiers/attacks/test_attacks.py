"""What programs must not be able to do: get out, take too much, or earn what they do not deserve.

Each table says what its programs try. After every one of them the same sandbox judges a right program.
"""

import os
import platform
import re
import socket
import struct
from pathlib import Path
from textwrap import indent

import pytest

from whit.verifiers import _sandbox
from whit.verifiers._sandbox import Limits, Sandbox, SandboxLostError, check_sandbox
from whit.verifiers._seccomp import ARCHITECTURES, CLONE, CLONE3, DENIED

HERE = Path(__file__).parent
ATTACK = re.compile(r"^### ([^\n]+)\n\n(?:`([^\n]+)`\n\n)?```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ESCAPES, FLOODS, FORGERIES = (
    [pytest.param(*row[1:], id=row[0]) for row in ATTACK.findall((HERE / f"{name}.md").read_text())]
    for name in ("escapes", "floods", "forgeries")
)
PRELUDE = re.search(r"^```python\n(.*?)^```", (HERE / "escapes.md").read_text(), re.MULTILINE | re.DOTALL)[1]

pytestmark = pytest.mark.usefixtures("sandbox")
SHORT = Limits(cpu_seconds=1, wall_seconds=3.0, memory_bytes=256 * 2**20)
SQUARE = ["assert square(2) == 4", "assert square(3) == 9"]


@pytest.fixture(scope="module")
def cell():
    sandbox = Sandbox(check_sandbox(), SHORT)
    yield sandbox
    sandbox.close()


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """What escapes are after: a file of the user, a port that listens, the process that tests."""
    secret = tmp_path_factory.mktemp("home") / "secret"
    secret.write_text("secret")
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        pytest.skip(f"no filter of system calls is known for {machine}")
    column = list(ARCHITECTURES).index(machine)
    numbers = {**DENIED, "clone": CLONE, "clone3": CLONE3, "tgkill": (234, 131)}
    with socket.create_server(("127.0.0.1", 0)) as server:
        values = {
            "SYSCALLS": {name: number[column] for name, number in numbers.items() if number[column] is not None},
            "PORT": server.getsockname()[1],
            "HOME": str(Path.home()),
            "SECRET": str(secret),
            "HOST_CODE": _sandbox.__file__,
            "HOST_PID": os.getpid(),
        }
        yield "".join(f"{name} = {value!r}\n" for name, value in values.items())


def judged(cell: Sandbox, program: str, tests: list[str]) -> tuple[bool, str]:
    try:
        outcome = cell.run([program], tests)
    except SandboxLostError as error:  # it took the container with it: no reward, and the next one gets a new one
        return False, f"container: {error}"
    return outcome.is_right, outcome.reason


def is_well(cell: Sandbox) -> bool:
    return judged(cell, "def square(x): return x * x", SQUARE) == (True, "")


def test_there_are_sixty_attacks_and_more():
    claims = [attack.id for table in (ESCAPES, FLOODS, FORGERIES) for attack in table]
    assert len(set(claims)) == len(claims) >= 60


@pytest.mark.parametrize(("said", "body"), ESCAPES)
def test_a_program_cannot(cell, outside, said, body):
    program = f"{outside}{PRELUDE}\ndef attack():\n{indent(body, '    ')}"
    got_out, reason = judged(cell, program, ["assert attack() is True"])
    assert not got_out
    assert re.search(said, reason), reason
    assert is_well(cell)


@pytest.mark.slow  # up to 3 s each
@pytest.mark.parametrize(("said", "program"), FLOODS)
def test_a_program_that_takes_too_much_is_ended(cell, said, program):
    is_right, reason = judged(cell, program, ["assert attack() is True"])
    assert not is_right
    assert re.search(said, reason), reason
    assert is_well(cell)


@pytest.mark.parametrize("code", ["(" * 100_000 + ")" * 100_000, "-" * 100_000 + "1", "[" * 100_000, "x = 1\n" * 10**6])
def test_code_that_is_too_much_for_the_compiler_is_a_wrong_program(cell, code):
    is_right, reason = judged(cell, code, SQUARE)
    assert not is_right and reason
    assert is_well(cell)


@pytest.mark.parametrize(("said", "program"), FORGERIES)
def test_a_wrong_program_earns_nothing_by(cell, said, program):
    is_right, reason = judged(cell, program, SQUARE)
    assert not is_right
    assert said in reason and reason
    assert is_well(cell)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="32-bit system calls are x86's")
def test_32_bit_system_calls_end_the_program(cell):
    """int 0x80 reaches the kernel by another table of numbers, which the filter does not know."""
    program = """
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid); int 0x80; ret
def attack(): return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))() > 0
"""
    assert judged(cell, program, ["assert attack()"]) == (False, "the program was ended by SIGSYS")
    assert is_well(cell)


def test_a_program_finds_nothing_of_the_one_before(cell):
    leave = """
import os, threading, time
open('left', 'w').write('x'); os.mkdir('folder'); os.symlink('/', 'folder/root')
threading.Thread(target=time.sleep, args=(1000,)).start()
def attack(): return os.listdir('/tmp')
"""
    assert judged(cell, leave, ["assert sorted(attack()) == ['folder', 'left']"]) == (True, "")
    look = "import os\ndef attack(): return os.listdir('/tmp')\nimport math; math.seen = True"
    assert judged(cell, look, ["assert attack() == []"]) == (True, "")
    assert judged(cell, "import math\ndef attack(): return hasattr(math, 'seen')", ["assert attack() is False"])[0]


LEAVES = {
    "a mode": "os.chmod(where, 0o500)",
    "times": "os.utime(where, (1e9, 1e9))",
    "an attribute": "os.setxattr(where, 'user.said', b'7')",
    "a list of rights": "os.setxattr(where, 'system.posix_acl_default', RIGHTS)",
    "a flag": "fcntl.ioctl(os.open(where, 0), 0x40086602, (0xC0).to_bytes(8, 'little'))",  # noatime, nodump
    "a file beside its directory": "open('/scratch/said', 'w').close()",
}
SEEN = """
import fcntl, os
def of(where):
    about = os.stat(where)
    try: flags = fcntl.ioctl(os.open(where, 0), 0x80086601, bytes(8)).hex()
    except OSError: flags = ""
    return oct(about.st_mode), flags, os.listxattr(where), os.listdir(where)
def seen(): raise ValueError((of("."), of("/tmp"), of("/scratch"), os.stat("/scratch").st_mtime))
"""


def seen(cell: Sandbox) -> str:
    """What a program sees of the directories that it is given."""
    return judged(cell, SEEN, ["seen()"])[1]


@pytest.mark.parametrize("where", [".", "/scratch"])
@pytest.mark.parametrize("what", LEAVES.values(), ids=LEAVES)
def test_what_a_program_makes_of_its_directories_is_not_there_for_the_next(cell, where, what):
    entries = ((1, 7, 0xFFFFFFFF), (4, 0, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF))  # its user, its group, others
    rights = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    before = seen(cell)
    assert "0o40700" in before and "program" in before
    leave = f"import fcntl, os\nwhere, RIGHTS = {where!r}, {rights!r}\ndef attack():\n    {what}"
    judged(cell, leave, ["assert attack() is None"])  # what the kernel refuses leaves nothing either
    assert seen(cell) == before
    write = "open('mine', 'w').close(); open('/tmp/mine').close()\ndef square(x): return x * x"
    assert judged(cell, write, SQUARE) == (True, "")


@pytest.mark.parametrize("end", ["raise SystemExit(1)", "import time; time.sleep(1000)", "import os; os._exit(3)"])
def test_how_a_program_would_end_does_not_matter_once_its_answers_are_there(cell, end):
    program = f"import atexit, threading\ndef end():\n    {end}\natexit.register(end)\ndef square(x): return x * x"
    assert judged(cell, program, SQUARE) == (True, "")


def test_tests_keep_the_helpers_of_the_setup_whatever_the_program_defines(cell):
    setup, tests = "def helper(x):\n    return x - 4\n", ["assert helper(square(2)) == 0"]
    cheat = "def helper(x): return 0\ndef square(x): return 5"
    assert not cell.run([cheat], tests, names=["square"], setup=setup).is_right
    assert cell.run(["def square(x): return 4"], tests, names=["square"], setup=setup).is_right
