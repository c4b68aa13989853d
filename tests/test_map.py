"""The map of the code holds: every `module.name` that READMEs, docstrings and recipes give exists."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("registry", "recommender", "ui")
NAME = re.compile(rf"`((?:{'|'.join(ROOMS)})(?:\.\w+)+)")
WRITES = re.compile(
    r"self\.store\.(write|write_notes|renew|forget|forget_outcomes|keep)\(|self\._catalogs\.load\(|\bquarantine_row\(self"
)


def texts() -> list[Path]:
    modules = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    pages = [page for room in (*ROOMS, "catalog", "tests") for page in (ROOT / room).rglob("README.md")]
    return [ROOT / "README.md", *pages, *modules]


def module_of(dotted: str) -> tuple[Path, list[str]] | None:
    """The file of the longest part that is a module, and what is left of the name."""
    parts = dotted.split(".")
    for upto in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:upto])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file, parts[upto:]
    return None


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def members(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """The names that a module or class holds, imported ones included."""
    for node in body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, node
            case ast.Assign():
                yield from (
                    (one.id, node) for target in node.targets for one in ast.walk(target) if isinstance(one, ast.Name)
                )
                if any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
                    yield from ((name, node) for name in ast.literal_eval(node.value))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, node
            case ast.Import() | ast.ImportFrom():
                yield from ((name.asname or name.name, node) for name in node.names)


def exists(dotted: str) -> bool:
    place = module_of(dotted)
    if place is None:
        return False
    file, names = place
    body = parsed(file).body
    for name in names:
        node = dict(members(body)).get(name)
        if node is None:
            return False
        body = node.body if isinstance(node, ast.ClassDef) else []
    return True


def table() -> list[list[str]]:
    """The names in each row of README's table of where things are decided."""
    section = (ROOT / "README.md").read_text().split("## Where it is decided")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [NAME.findall(row) for row in rows]


def test_every_name_exists() -> None:
    named = {(path.relative_to(ROOT).as_posix(), name) for path in texts() for name in NAME.findall(path.read_text())}
    assert len(named) > 50
    assert sorted((path, name) for path, name in named if not exists(name)) == []


def test_every_row_of_the_table_names_a_function_or_a_room() -> None:
    assert len(table()) >= 7
    assert [row for row in table() if not row] == []


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("registry.zoo", True),
        ("registry.zoo.Zoo.record", True),
        ("recommender.scores", True),
        ("recommender.runs.tracking.mlflow_runs", True),
        ("registry.zoo.Zoo.recrod", False),
        ("registry.zoology", False),
        ("recommender.plan.choose", False),
    ],
)
def test_a_name_exists_where_its_module_holds_it(name: str, there: bool) -> None:
    assert exists(name) == there


def imported(path: Path, own: Path) -> Iterator[str]:
    """The dotted names that a file imports from the rooms, from tests and from the folder ``own``."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            beside = own / f"{node.module}.py"
            inside = beside.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            of = inside if beside.is_file() else node.module
            if of.partition(".")[0] in {*ROOMS, "tests", "catalog"}:
                yield from (f"{of}.{name.name}" for name in node.names)


@pytest.mark.slow
def test_every_name_that_tests_benchmarks_and_recipes_import_exists() -> None:
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "catalog" / "recipes").glob("*.py")]
    names = {(path.relative_to(ROOT).as_posix(), name) for path in files for name in imported(path, path.parent)}
    assert ("catalog/recipes/rows.py", "catalog.recipes.bundling.HERE") in names
    assert sorted((path, name) for path, name in names if not exists(name)) == []


def test_every_door_that_writes_to_the_registry_is_on_its_list() -> None:
    module = parsed(ROOT / "registry" / "zoo.py")
    listed = set(re.findall(r"`Zoo\.(\w+)`", ast.get_docstring(module) or ""))
    zoo = dict(members(module.body))["Zoo"]
    assert isinstance(zoo, ast.ClassDef)
    source = {name: ast.unparse(node) for name, node in members(zoo.body) if isinstance(node, ast.FunctionDef)}
    doors = {name for name, code in source.items() if WRITES.search(code)}
    assert "record" in doors
    assert doors - listed == set()
    assert listed - {*source, "jobs", "access"} == set()
