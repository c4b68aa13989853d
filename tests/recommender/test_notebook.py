"""In a notebook, executed by a kernel of its own: advice and its pictures show themselves."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.servers import ROOT

pytestmark = pytest.mark.slow

CELLS = {
    "advice": "from tests.ui.cases import advice, choice\nkept = advice(choice('net', 0.8, gain=0.3))\nkept",
    "forest": "kept.plot.forest()",
    "pareto": "kept.plot.pareto('peak_memory_bytes')",
    "freeze": "kept.plot.freeze()",
    "domains": "kept.plot.domains()",
}


def test_advice_and_its_pictures_show_themselves(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in CELLS.values()])
    NotebookClient(book, timeout=120, kernel_name="python3").execute()
    shown = {
        name: next(out.data for out in cell.outputs if out.output_type == "execute_result")
        for name, cell in zip(CELLS, book.cells, strict=True)
    }
    assert "no transfer" in shown["advice"]["text/html"]
    assert "<svg" in shown["advice"]["text/html"]
    for name in ("forest", "pareto", "freeze", "domains"):
        assert any("vegalite" in kind or kind == "text/html" for kind in shown[name]), name
