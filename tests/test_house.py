"""Rules of the house that no linter knows."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("registry", "recommender", "ui")
COMMANDS = {"benefit", "export", "recommend", "tune"}
"""A command's function bears the command's name, from which typer takes it."""
TYPERS_APP = "app"
"""What typer's own examples call a group of commands; the command line has one in each module of them."""


def modules() -> Iterator[Path]:
    for room in ROOMS:
        yield from sorted((ROOT / room).rglob("*.py"))


def public_names(module: Path) -> Iterator[str]:
    """What a module defines at its top level, without what it imports."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        named = [target.id for target in targets if isinstance(target, ast.Name)]
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            named = [node.name]
        yield from (name for name in set(named) if not name.startswith("_"))


def is_mirrored(paths: list[str]) -> bool:
    """Whether all are the same part of packages that answer one promise, and so alike: modalities, migrations."""
    parts = {path.split("/modalities/")[-1].partition("/")[2] for path in paths if "/modalities/" in path}
    return all("/modalities/" in path for path in paths) and len(parts) == 1


def test_no_public_name_is_defined_in_two_modules():
    where = defaultdict(list)
    for module in modules():
        path = module.relative_to(ROOT).as_posix()
        if "/migrations/versions/" in path:
            continue  # Alembic calls the parts of a migration by their names
        for name in public_names(module):
            where[name].append(path)
    twice = {
        name: [path for path in paths if not (name in COMMANDS and path.startswith("ui/commands/"))]
        for name, paths in where.items()
        if name != TYPERS_APP and not is_mirrored(paths)
    }
    assert {name: paths for name, paths in twice.items() if len(paths) > 1} == {}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def look(): ...\nclass Look: ...\nasync def wait(): ...", {"look", "Look", "wait"}),
        ("ONE = 1\ntwo: int = 2\n_three = 3\nfrom os import path", {"ONE", "two"}),
        ("if True:\n    hidden = 1\nclass Outer:\n    inner = 2", {"Outer"}),
    ],
)
def test_a_public_name_is_one_that_a_module_defines_at_its_top(tmp_path, text, names):
    (tmp_path / "module.py").write_text(text)
    assert set(public_names(tmp_path / "module.py")) == names
