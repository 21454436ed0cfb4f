"""The notebooks of docs/ run as they stand, beside the smallest run there is."""

import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "tasks" / "assets" / "photographs"
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def beside_a_run(programs, tmp_path_factory) -> Path:
    """A folder whose `runs/smoke` has groups and verdicts of a shipped photograph with several people."""
    folder = tmp_path_factory.mktemp("notebooks")
    (folder / "photos").mkdir()
    shutil.copy(SHIPPED / "four_musicians_seated_on_stage.jpg", folder / "photos")
    smoke = ROOT / "deploy" / "settings" / "smoke.toml"
    programs.run("sample", "--settings", smoke, "--images", folder / "photos", "--out", folder / "runs")
    programs.run("critique", "--name", "smoke", "--out", folder / "runs")
    return folder


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_notebook_runs(path, beside_a_run, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(beside_a_run / "ipython"))
    monkeypatch.delenv("MPLBACKEND")  # the kernel's own shows figures
    notebook = nbformat.read(path, as_version=4)
    kept = [len(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(beside_a_run)}}).execute()
    shown = [len(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]
    assert shown == kept  # what the page shows is what a reader gets
