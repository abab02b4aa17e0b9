"""The layers of the package import downwards only; checked in the source, without importing it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "drfpn_da"

# part of the package -> parts that it may import, beside itself.
ALLOWED = {
    "functional": set(),
    "layers": {"functional", "node_arguments"},
    "modeling": {
        "layers",
        "functional",
        "compat",
        "config",
        "checkpoint",
        "node_arguments",
        "renamed",
    },
    "objectives": {"modeling", "layers", "functional", "labels", "node_arguments"},
    "node_arguments": set(),
    "renamed": set(),
}
# part -> parts that it must not import, where more is free.
FORBIDDEN = {
    "data": {"modeling", "engine"},
    "evaluation": {"modeling", "engine"},
    "visualization": {"modeling", "engine"},
    "labels": {"modeling", "engine"},
    "checkpoint": {"modeling", "engine", "data", "evaluation"},
    "config": {"modeling", "engine", "evaluation"},
    "compat": {"modeling", "engine", "data", "evaluation", "layers", "functional"},
    "model_zoo": {"engine"},
}
# What reads command lines, on top of all.
TOP = {"cli", "__main__"}
# Parts that the command line reads before it imports torch.
LIGHT = {"arguments", "files", "shipped_configs"}
STANDARD = {
    *("__future__", "argparse", "collections", "contextlib", "difflib", "errno", "glob"),
    *("importlib", "io", "os", "pathlib", "platform", "sys", "types", "typing"),
}


def imported_modules(path: Path) -> set[str]:
    """Return the absolute dotted names that a file of the repository imports."""
    names: set[str] = set()
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*up, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def parts(path: Path) -> set[str]:
    """Return the parts of drfpn_da that a file imports."""
    found = (name.split(".") for name in imported_modules(path))
    return {name[1] for name in found if name[0] == "drfpn_da" and len(name) > 1}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_package_imports_downwards(path):
    part, used = part_of(path), parts(path)
    if part in ALLOWED:
        extra = used - ALLOWED[part] - {part}
        assert not extra, f"{part} may import only {sorted(ALLOWED[part])}, not {sorted(extra)}"
    assert not used & FORBIDDEN.get(part, set())
    if part not in ("engine", *TOP):
        assert "engine" not in used, "nothing imports engine but engine itself and the commands"
    if part not in TOP:
        assert not used & TOP, "nothing imports the command line"
    assert not any(name.split(".")[0] in ("tools", "tests") for name in imported_modules(path))


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "functional").rglob("*.py")), ids=lambda p: p.name
)
def test_functional_knows_torch_only(path):
    roots = {name.split(".")[0] for name in imported_modules(path)}
    standard = {
        "__future__",
        "collections",
        "contextlib",
        "contextvars",
        "functools",
        "math",
        "random",
        "typing",
    }
    # NumPy mixes the seeds.
    extra = {"numpy"} if path.name == "generators.py" else set()
    assert roots <= {"torch", "drfpn_da"} | standard | extra


def test_options_are_read_with_the_standard_library_only():
    files = [PACKAGE / f"{name}.py" for name in LIGHT]
    options = [PACKAGE / "cli" / "main.py", *(PACKAGE / "cli" / "arguments").glob("*.py")]
    for path in files + options:
        roots = {name.split(".")[0] for name in imported_modules(path)}
        assert roots <= {"drfpn_da", *STANDARD}, path
    for path in options:
        assert parts(path) <= {"cli", *LIGHT}, path


def test_only_compat_asks_for_versions():
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert "detectron2.__version__" not in text, f"{path}: test for features, not versions"


def test_tools_use_public_names_only():
    for path in sorted((ROOT / "tools").glob("*.py")):
        for name in imported_modules(path):
            if name.startswith(("drfpn_da.", "detectron2.")):
                private = [word for word in name.split(".") if word.startswith("_")]
                assert not private, f"{path.name} imports the private {name}"


def test_package_does_not_print():
    for path in SOURCES:
        if part_of(path) in TOP:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path}:{node.lineno} prints: use logging"


def test_relative_imports_are_resolved(tmp_path):
    """The helper itself: a rule that sees nothing would never fail."""
    assert "drfpn_da.config.tree.get_defaults" in imported_modules(
        PACKAGE / "config" / "__init__.py"
    )
    assert "config" in parts(PACKAGE / "__init__.py")
