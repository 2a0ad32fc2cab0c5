"""Writes docs/parts.md, the catalogue of parts, from the directories, signatures and docstrings: `make docs`."""

from pathlib import Path

from whit.core.parts import PACKAGES, find, inputs, names, options, summary


def main() -> None:
    lines = ["# Parts", "", "Made by `make docs` from the code. A new part is one file of its own name.", ""]
    for kind in PACKAGES:
        members = names(kind)
        if not members:
            continue
        lines += [f"## {kind}", "", "| part | supplied by the system | settings | |", "|---|---|---|---|"]
        for name in members:
            part = find(kind, name)
            settings = ", ".join(f"`{option}`" for option in options(part)) or "-"
            lines.append(f"| `{name}` | {', '.join(inputs(part))} | {settings} | {summary(part)} |")
        lines.append("")
    Path(__file__).with_name("parts.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
