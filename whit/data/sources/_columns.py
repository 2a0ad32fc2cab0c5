"""From rows to examples: which column holds what, and which verifier fits the answers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from whit.core.answers import INSTRUCTIONS, is_bare_number, parse_number, show_number
from whit.core.errors import DataError, NoSuchColumnError, UsageError, did_you_mean
from whit.core.parts import declared
from whit.core.seeds import key64
from whit.core.types import AnswerFormat, Example, Split
from whit.core.words import plural

ALIASES = {
    "prompt": ("question", "text", "input", "problem"),
    "answer": ("label", "target", "gold"),
    "rationale": ("solution",),
    "group": (),
    "split": (),
    "id": (),
}
REQUIRED = ("prompt", "answer")
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "validation": "dev",
    "valid": "dev",
    "val": "dev",
    "test": "test",
    "testing": "test",
}
MAX_CHOICES = 50
MIN_ROWS_PER_CHOICE = 5
WITHOUT_STEPS = (
    "choice",
    "json_schema",
)  # verifiers whose answers are asked for alone, unless rationales come with them

Row = Mapping[str, Any]
Columns = Mapping[str, str] | str | None


def examples_of(
    rows: Sequence[Row],
    where: str,
    *,
    columns: Columns,
    verifier: str | None,
    answer_format: AnswerFormat | None,
) -> tuple[list[Example], dict[str, Split], list[str]]:
    """Examples, the given split of each id (empty without such a column), and notes on what was detected.

    where: names the source in errors.
    columns: field -> column, or "prompt=question,answer=label"; fields that are left out are looked for by name.
    answer_format: None takes what the verifier's file asks for (`ask_for`), else "plain" for labels and JSON without
        rationales, else "boxed".
    An example's id is its id column's value where these all differ, else a hash of its prompt; never its position.
    """
    names, notes = _resolve(list(dict.fromkeys(name for row in rows for name in row)), columns, where)
    fields = [{field: _cell(row, column) for field, column in names.items()} for row in rows]
    if "rationale" not in names and all("####" in field["answer"] for field in fields):
        notes.append("answers hold a worked solution before '####': it is used as the rationale")
        fields = [_with_rationale(field) for field in fields]
    for number, field in enumerate(fields, 1):
        _check(field, rows[number - 1], names, f"{where}, row {number}")
    golds = [field["answer"] for field in fields]
    verifier, found = _verifier(golds, where, verifier)
    has_rationales = any(field.get("rationale") for field in fields)
    form = answer_format or ("plain" if verifier in WITHOUT_STEPS and not has_rationales else "boxed")
    choices = _labels(golds) if verifier == "choice" else ()
    instruction = f"{INSTRUCTIONS[form]} The answer is one of: {', '.join(choices)}." if choices else None
    metadata = [
        {"row": number, **{name: row[name] for name in row if name not in names.values()}}
        for number, row in enumerate(rows, 1)
    ]
    ask_for = declared("verifier", verifier, "ask_for")
    asked = [_own(ask_for(more) if ask_for else None, answer_format) or (form, instruction) for more in metadata]
    examples = [
        Example(
            id=identity,
            prompt=field["prompt"],
            gold=field["answer"],
            verifier=verifier,
            rationale=_without_marker(field.get("rationale", "")) or None,
            group=field.get("group", ""),
            choices=choices,
            answer_format=own_form,
            instruction=own_instruction,
            metadata=more,
        )
        for identity, field, more, (own_form, own_instruction) in zip(
            _ids(fields), fields, metadata, asked, strict=True
        )
    ]
    forms = sorted({f"'{example.answer_format}'" for example in examples})
    notes.append(f"{found}, with the answer format {' or '.join(forms)}")
    if verifier == "exact_number":
        notes += _left_out(golds)
    return examples, _given_splits(examples, fields, where), notes


def _left_out(golds: Sequence[str]) -> list[str]:
    """What 'exact_number' does not compare of the answers, if there is something."""
    odd = [(row, gold) for row, gold in enumerate(golds, 1) if not is_bare_number(gold)]
    if not odd:
        return []
    row, gold = odd[0]
    value = parse_number(gold)
    assert value is not None  # else the answer is refused
    return [
        f"warning: {plural(len(odd), 'answer holds', 'answers hold')} more than a number, which alone is compared: in row "
        f"{row}, {gold[:40]!r} is {show_number(value)}. If the rest matters, take the verifier 'exact_text' or "
        "'symbolic_equal'"
    ]


def _own(asked: tuple[AnswerFormat, str] | None, wanted: AnswerFormat | None) -> tuple[AnswerFormat, str] | None:
    """What the verifier's own file asks a row for, unless another answer format is wanted."""
    return asked if asked and wanted in (None, asked[0]) else None


def _resolve(present: list[str], columns: Columns, where: str) -> tuple[dict[str, str], list[str]]:
    """Field -> column for every field that the source has, and a note for each that goes by another name."""
    chosen, notes = dict(_parse(columns)), []
    for field, column in chosen.items():
        if field not in ALIASES:
            raise UsageError(f"columns: there is no field '{field}'.{did_you_mean(field, ALIASES)}")
        if column not in present:
            raise NoSuchColumnError(
                f"{where}: there is no column '{column}' for {field}.{_did_you_mean(column, present)}"
            )
    by_name = {name.strip().casefold(): name for name in present}
    free = {key: name for key, name in by_name.items() if name not in chosen.values()}
    for field, aliases in ALIASES.items():
        if field in chosen:
            continue
        found = [field] if field in free else [alias for alias in aliases if alias in free]
        if len(found) > 1:
            options = " or ".join(f"'{field}={free[name]}'" for name in found)
            raise DataError(f"{where}: several columns could be the {field}. Say which: --columns {options}.")
        if not found and field in REQUIRED:
            expected = ", ".join(f"'{name}'" for name in (field, *aliases))
            raise DataError(
                f"{where}: no column is called {expected}. Say which is the {field}: "
                f"--columns {field}=NAME (in a recipe, task.columns).{_did_you_mean(field, present)}"
            )
        if found:
            chosen[field] = free[found[0]]
            if found[0] != field:
                notes.append(f"{field} is read from the column '{free[found[0]]}'")
    return chosen, notes


def _parse(columns: Columns) -> Mapping[str, str]:
    if not isinstance(columns, str):
        return columns or {}
    pairs = [pair.partition("=") for pair in columns.split(",")]
    if any(not (field.strip() and column.strip()) for field, _, column in pairs):
        raise UsageError(f'columns = "{columns}" is not understood. Write "prompt=question,answer=label".')
    return {field.strip(): column.strip() for field, _, column in pairs}


def _did_you_mean(column: str, present: list[str]) -> str:
    meant = did_you_mean(column, present)
    return f"{meant if meant.startswith(' Did') else ''} The columns are: {', '.join(present)}."


def _cell(row: Row, column: str) -> str:
    value = row.get(column)
    return "" if value is None or value != value else str(value).strip()  # value != value: NaN, Parquet's empty number


def _check(field: Mapping[str, str], row: Row, names: Mapping[str, str], where: str) -> None:
    for name in REQUIRED:
        value = row.get(names[name])
        if isinstance(value, list | dict):
            raise DataError(
                f"{where}: the {name} (column '{names[name]}') is a {type(value).__name__}; text is needed."
            )
        if not field[name]:
            raise DataError(f"{where}: the {name} (column '{names[name]}') is empty. Fill it or remove the row.")


def _with_rationale(field: dict[str, str]) -> dict[str, str]:
    rationale, _, gold = field["answer"].rpartition("####")
    return {**field, "rationale": rationale.strip(), "answer": gold.strip()}


def _without_marker(rationale: str) -> str:
    """The marker with the final answer is added by rendering, in the format that the prompt asks for."""
    before, marker, after = rationale.rpartition("####")
    return before.strip() if marker and "\n" not in after.strip() else rationale


def _verifier(golds: Sequence[str], where: str, wanted: str | None) -> tuple[str, str]:
    """The name of the verifier that fits the answers, or the wanted one, and a note that says why."""
    row, odd = next(((n, gold) for n, gold in enumerate(golds, 1) if parse_number(gold) is None), (0, ""))
    if wanted == "exact_number" and row:
        raise DataError(f"{where}, row {row}: the answer {odd!r} is not a number. Correct it, or use 'exact_text'.")
    if wanted:
        return wanted, f"answers are judged by '{wanted}'"
    if not row:
        return "exact_number", "all answers are numbers: judged by 'exact_number'"
    num_labels = len(_labels(golds))
    if num_labels <= MAX_CHOICES and len(golds) >= MIN_ROWS_PER_CHOICE * num_labels:
        return "choice", f"answers are {num_labels} labels: judged by 'choice'"
    return "exact_text", f"answers are text (the first is in row {row}: {odd[:40]!r}): judged by 'exact_text'"


def _labels(golds: Sequence[str]) -> tuple[str, ...]:
    """The different answers, sorted; of spellings that differ in case only, the first."""
    return tuple(sorted({gold.casefold(): gold for gold in reversed(golds)}.values()))


def _ids(fields: Sequence[Mapping[str, str]]) -> list[str]:
    ids = [field.get("id", "") for field in fields]
    if all(ids) and len(set(ids)) == len(ids):
        return ids
    seen: Counter[str] = Counter()
    ids = []
    for field in fields:
        key = f"{key64(field['prompt']):016x}"
        seen[key] += 1
        ids.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return ids


def _given_splits(examples: Sequence[Example], fields: Sequence[Mapping[str, str]], where: str) -> dict[str, Split]:
    if "split" not in fields[0]:
        return {}
    for number, field in enumerate(fields, 1):
        if field["split"].casefold() not in SPLIT_NAMES:
            raise DataError(
                f"{where}, row {number}: the split {field['split']!r} is not known. "
                "Use train, dev and test in every row, or drop the column to have the rows split by hash."
            )
    pairs = zip(examples, fields, strict=True)
    return {example.id: SPLIT_NAMES[field["split"].casefold()] for example, field in pairs}
