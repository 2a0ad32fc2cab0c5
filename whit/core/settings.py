"""TOML to frozen pydantic models and back, with the dotted path and a 'did you mean' in every error."""

import inspect
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from whit.core.errors import RecipeError, did_you_mean


class Frozen(BaseModel):
    """Base of everything written in a recipe: unknown keys refused, values never changed in place."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())


M = TypeVar("M", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """The file as plain values. Raises RecipeError with the line when it is not TOML."""
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise RecipeError(
            f"there is no file {path}. `whit parts recipe` lists the recipes that go by name; "
            "`whit study --model M --task T --hours H --plan` writes a study.toml."
        ) from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}. Give the path of a .toml file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from error


# What a recipe writes as a name, or as a table of the name and its settings.
NAMED = ("task", "algorithm", "reward", "form", "shaping", "curriculum", "transform")


def override(tree: dict[str, Any], assignment: str) -> None:
    """Set one value by its dotted name, in place: `stage.2.optim.lr=2e-5`; stages count from 1.

    A setting below a part that is written as its name, such as `task.verifier=regex`, makes a table of the name.
    """
    name, equals, text = assignment.partition("=")
    if not equals:
        raise RecipeError(f"'{assignment}' is not an override. Write name=value, such as stage.1.optim.lr=2e-5.")
    keys, node = name.strip().split("."), tree
    for position, key in enumerate(keys):
        last = position == len(keys) - 1
        if isinstance(node, list):
            if not key.isdigit() or not 1 <= int(key) <= len(node):
                raise RecipeError(
                    f"'{name}': '{key}' is no {keys[position - 1]}: they count from 1, the last is {len(node)}."
                )
            index: Any = int(key) - 1
        else:
            index = key
        if last:
            node[index] = parse_value(text.strip())
        else:
            if key in NAMED and isinstance(node, dict) and isinstance(node.get(key), str):
                node[key] = {"name": node[key]}
            node = node[index] if isinstance(node, list) else node.setdefault(index, {})
            if not isinstance(node, dict | list):
                raise RecipeError(f"'{name}': '{key}' holds a value and has nothing below it.")


def parse_value(text: str) -> Any:
    """A value as a command line gives it: TOML, and else text as it is."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def parse_model(model: type[M], values: Mapping[str, Any], where: str = "") -> M:
    """`values` as a `model`. Raises RecipeError that names the path of the first thing that is wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RecipeError(_explain(error, where, model)) from None


def check_settings(function: Callable[..., Any], settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The settings converted to the types of the function's keyword-only parameters.

    Only what was given comes back: defaults stay where they are written, in the signature. A table is laid over a default
    that is one.
    """
    model = _model_of(function)
    try:
        checked = model.model_validate({name: _over_default(model, name, value) for name, value in settings.items()})
    except ValidationError as error:
        raise RecipeError(_explain(error, where, model)) from None
    return {name: getattr(checked, name) for name in settings}


def all_settings(function: Callable[..., Any], settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """As `check_settings`, with every default filled in: what a resolved recipe records."""
    checked = check_settings(function, settings, where)
    return {name: checked.get(name, field.get_default()) for name, field in _model_of(function).model_fields.items()}


def to_plain(value: Any) -> Any:
    """Models, tuples and paths as values that TOML and JSON can hold."""
    if isinstance(value, BaseModel):
        return {key: to_plain(item) for key, item in value if item is not None}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def write_toml(values: Mapping[str, Any]) -> str:
    """TOML text of plain values: scalars first, inline tables inside lists of scalars, [[tables]] for lists of tables."""
    return "\n".join(_toml_lines(to_plain(values), "")).strip() + "\n"


def toml_value(value: Any) -> str:
    """One plain value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml_key(k)} = {toml_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's escapes are TOML's


def _over_default(model: type[BaseModel], name: str, value: Any) -> Any:
    """A table given in part is laid over the parameter's default: optim = { lr = 1e-5 } keeps a stage's own schedule."""
    default = model.model_fields[name].default if name in model.model_fields else None
    if isinstance(default, BaseModel) and isinstance(value, Mapping):
        return {**default.model_dump(), **value}
    return value


@cache
def _model_of(function: Callable[..., Any]) -> type[BaseModel]:
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[name] = (hints.get(name, Any), default)
    name = getattr(function, "__name__", "settings")
    return create_model(name, __base__=Frozen, **fields)


def _explain(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    # A setting of another name explains one that is missing: [[stages]] for [[stage]].
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    path = ".".join(str(key + 1) if isinstance(key, int) else str(key) for key in first["loc"])
    full = ".".join(piece for piece in (where, path) if piece)
    if first["type"] == "extra_forbidden":
        unknown = str(first["loc"][-1])
        return (
            f"{full}: there is no setting '{unknown}'.{did_you_mean(unknown, _known_fields(model, first['loc'][:-1]))}"
        )
    if first["type"] == "missing":
        return f"{full}: this setting is needed and was not given."
    if first["type"] == "value_error":  # a check of ours, which says itself what was given
        return f"{full}: {first['ctx']['error']}"
    given = first.get("input")
    if first["type"] in ("model_type", "model_attributes_type", "dataclass_type"):
        return f"{full}: {_as_table(_model_at(model, first['loc']), path, given)}"
    return f"{full}: {first['msg'][0].lower()}{first['msg'][1:]}; given: {given!r}."


def _as_table(model: Any, path: str, given: Any) -> str:
    """What is said where a plain value stands for a table: the table that it may have meant, and its settings."""
    fields: dict[str, Any] = getattr(model, "model_fields", {})
    settings = f" Its settings are {', '.join(fields)}."
    needed = [name for name, field in fields.items() if field.is_required()] or list(fields)
    likely = {name: given for name in needed[:1] if isinstance(given, str | int | float)}
    name = path.rpartition(".")[2]
    begin = f"{name} = " if name and not name.isdigit() else ""
    try:
        model.model_validate(likely, strict=True)
    except (ValidationError, AttributeError):
        likely = {}
    if not likely:
        example = f"such as {begin}{{ {needed[0]} = ... }} " if needed else ""
        return f"it takes a table {example}and was given {given!r}.{settings}"
    return f"it takes a table and was given {toml_value(given)}. Write {begin}{toml_value(likely)}.{settings}"


def _known_fields(model: Any, path: tuple[int | str, ...]) -> list[str]:
    return list(getattr(_model_at(model, path), "model_fields", {}))


def _model_at(model: Any, path: tuple[int | str, ...]) -> Any:
    """The innermost model on the way that a path takes through a model's fields."""
    for key in path:
        if isinstance(key, int):
            continue
        field = getattr(model, "model_fields", {}).get(key)
        if field is None:
            continue
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((c for c in candidates if inspect.isclass(c) and issubclass(c, BaseModel)), model)
    return model


def _toml_lines(table: Mapping[str, Any], prefix: str) -> list[str]:
    lines, deeper = [], []
    for key, value in table.items():
        if isinstance(value, dict) and value:
            path = f"{prefix}{_toml_key(key)}"
            deeper += ["", f"[{path}]", *_toml_lines(value, f"{path}.")]
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value) and not prefix:
            for item in value:
                deeper += ["", f"[[{_toml_key(key)}]]", *_toml_flat(item)]
        else:
            lines.append(f"{_toml_key(key)} = {toml_value(value)}")
    return lines + deeper


def _toml_flat(table: Mapping[str, Any]) -> list[str]:
    return [f"{_toml_key(key)} = {toml_value(value)}" for key, value in table.items()]


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)
