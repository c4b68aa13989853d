"""Packages that are installed for one test: a folder on the import path with a module and entry points."""

import textwrap

__all__ = ["install"]


def install(monkeypatch, folder, points, code="", *, name="strange"):
    """A distribution whose module of that name holds this code; ``points`` map ``group:name`` to ``module:object``."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    groups = {}
    for point, value in points.items():
        group, _, own = point.partition(":")
        groups.setdefault(f"transferzoo.{group}", []).append(f"{own} = {value}")
    lines = [line for group, rows in groups.items() for line in (f"[{group}]", *rows, "")]
    (about / "entry_points.txt").write_text("\n".join(lines))
    (folder / f"{name}.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(__import__("sys").modules, name, raising=False)
