"""Values as they travel between a program and its tests: plain data by value, everything else by reference.

A type is taken for what it says only when it is exactly one of Python's own: an `int` subclass with an `__eq__` of its
own travels by reference, so its methods never run where tests compare. The dictionaries of `collections` travel as
dictionaries, Python's own types by their names.
"""

import builtins
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

MAX_JSON_INT = 2**53  # larger ones go as hexadecimal, which no limit on digits stops
DICTS = (dict, Counter, OrderedDict, defaultdict)
SEQUENCES: dict[str, Callable[[list[Any]], Any]] = {
    "list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque,
}  # fmt: skip
BUILTIN_TYPES = frozenset(kind for kind in vars(builtins).values() if type(kind) is type)
NAMES: dict[type, str] = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset", deque: "deque"}


def encode(value: Any, refer: Callable[[Any], int]) -> Any:
    """`value` as JSON data.

    refer: the number of an object that is no plain data.
    Raises RecursionError for data that is nested deeper than Python's limit, or contains itself.
    """
    kind: type = type(value)
    if value is None or kind in (bool, str, float):
        return value
    if kind is int:
        return value if abs(value) < MAX_JSON_INT else {"int": hex(value)}
    if kind in NAMES:
        return {NAMES[kind]: [encode(item, refer) for item in value]}
    if kind in DICTS:
        return {"dict": [[encode(key, refer), encode(item, refer)] for key, item in value.items()]}
    if kind in (bytes, bytearray):
        return {kind.__name__: value.hex()}
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if kind is type and value in BUILTIN_TYPES:
        return {"type": value.__name__}
    return {"ref": refer(value), "type": kind.__name__}


def decode(data: Any, resolve: Callable[[int, str], Any]) -> Any:
    """The value that `data` stands for.

    resolve: the object of a number and the name of its type.
    Raises ValueError, TypeError, KeyError, OverflowError or RecursionError for anything that `encode` does not write.
    """
    if data is None or type(data) in (bool, str, float, int):
        return data
    if type(data) is not dict:
        raise ValueError(f"a bare {type(data).__name__}")
    if data.keys() == {"ref", "type"}:
        return resolve(int(data["ref"]), str(data["type"]))
    ((kind, content),) = data.items()
    if kind in SEQUENCES:
        return SEQUENCES[kind]([decode(item, resolve) for item in content])
    if kind == "dict":
        return {decode(key, resolve): decode(item, resolve) for key, item in content}
    if kind == "int":
        return int(content, 16)
    if kind in ("bytes", "bytearray"):
        return bytes.fromhex(content) if kind == "bytes" else bytearray.fromhex(content)
    if kind == "type":
        return {known.__name__: known for known in BUILTIN_TYPES}[content]
    if kind == "complex":
        return complex(*map(float, content))
    raise ValueError(f"no kind of value is called {kind!r}")
