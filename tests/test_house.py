"""Rules of the house that no linter knows."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("registry", "recommender", "ui")
COMMANDS = {"benefit", "export", "recommend", "serve", "tune"}
"""A command's function bears the command's name, from which typer takes it."""
TYPERS_APP = "app"
"""What typer's own examples call a group of commands; the command line has one in each module of them."""

LATE_IMPORTS = {
    "recommender/baseline.py": 2,  # scikit-learn, where words are tagged without transfer
    "recommender/checks.py": 1,  # torch and scikit-learn, where a plug-in or a device is named
    "recommender/results.py": 3,  # Altair and what draws SVG, where advice or a run is shown as pictures
    "recommender/runs/mlflow_sync.py": 1,  # MLflow, where it is spoken to
    "recommender/runs/recovery.py": 1,  # SciPy, for which no start shall wait
    "recommender/service.py": 1,  # Matplotlib, where a benefit is drawn
    "recommender/serving/export.py": 1,  # ONNX Runtime is of an extra
    "recommender/serving/pipeline.py": 1,  # skops, for few
    "recommender/suspects.py": 1,  # pandas and datasets, where labels are doubted
    "recommender/tuning/fitting.py": 2,  # transformers' Trainer, where a net goes on with pretraining first
    "recommender/tuning/heads.py": 2,  # skops, where nothing is transferred
    "recommender/tuning/recipe.py": 1,  # Matplotlib, where a run is drawn
    "registry/forms.py": 2,  # pydantic, for who has no JSON
    "registry/objects.py": 1,  # fsspec, for who shares objects
    "registry/hub.py": 1,  # the hub's client, in an environment that was set first
    "registry/readers/records.py": 1,  # pandas, where times are dates
    "registry/readers/streams.py": 1,  # pyarrow, for Parquet
    "registry/sample.py": 2,  # pandas, for who hands over frames
    "registry/store/migrations/__init__.py": 1,  # Alembic, for a schema that is not up to date
    "ui/cli.py": 1,  # all that the command line is made of: Ctrl-C is seen to first
    "ui/completion.py": 2,  # SQLAlchemy and NumPy, when a shell asks for names: no help waits for them
    "ui/context.py": 1,  # SQLAlchemy and NumPy, when a registry is opened: no help waits for them
    "ui/job_queue.py": 1,  # torch, to resolve a device
    "ui/hub_paths.py": 1,  # what asks a hub: no help waits for it
    "ui/present.py": 1,  # torch, and what checks: no help waits for the latter, and what is refused not for torch
    "ui/program.py": 1,  # what reads the version of a distribution, where that is asked for
    "ui/sample_data.py": 1,  # scikit-learn, for its digits alone: no page waits for it
    "ui/serving.py": 1,  # Streamlit, which reads the folder it stands in when it is imported
    "ui/views/pick.py": 1,  # what draws SVG, for documents that are downloaded
}
"""Functions of each module that import something heavy, which who does not call them shall not wait for."""


def modules() -> Iterator[Path]:
    for room in ROOMS:
        yield from sorted((ROOT / room).rglob("*.py"))


def top_level_names(module: Path) -> Iterator[str]:
    """What a module defines at its top level, without what it imports."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def late_imports(text: str) -> int:
    """How many functions of a module import anything."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return sum(any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(one)) for one in functions)


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
        for name in {name for name in top_level_names(module) if not name.startswith("_")}:
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
        ("ONE = 1\ntwo: int = 2\n_three = 3\nfrom os import path", {"ONE", "two", "_three"}),
        ("if True:\n    hidden = 1\nclass Outer:\n    inner = 2", {"Outer"}),
    ],
)
def test_names_at_the_top_of_a_module_are_those_that_it_defines(tmp_path, text, names):
    (tmp_path / "module.py").write_text(text)
    assert set(top_level_names(tmp_path / "module.py")) == names


def test_modules_import_at_the_top_but_for_a_few_that_are_listed_with_their_reason():
    counted = {path.relative_to(ROOT).as_posix(): late_imports(path.read_text(encoding="utf-8")) for path in modules()}
    assert {path: count for path, count in counted.items() if count} == LATE_IMPORTS


def test_an_import_counts_wherever_in_a_function_it_stands():
    assert late_imports("import os\ndef one():\n    if os.name:\n        from sys import argv\n") == 1
    assert late_imports("import os\ndef one():\n    return os.name\n") == 0
