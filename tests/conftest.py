"""What every test run needs: no telemetry, a home of its own, and shapes and types checked at each call.

The environment is set before anything imports prefect or torch; the processes that tests start inherit it.
"""

import os
import re
import tempfile
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import install_import_hook

ROOT = Path(__file__).parent.parent
_home = tempfile.TemporaryDirectory(prefix="hmr-align-tests-")

os.environ.update(
    {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "HMR_ALIGN_HOME": _home.name,
        "PREFECT_HOME": f"{_home.name}/prefect",
        "MPLBACKEND": "Agg",
    }
)
for foreign in ("API_URL", "API_AUTH_STRING", "API_KEY", "PROFILE"):
    os.environ.pop(f"PREFECT_{foreign}", None)
for foreign in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
    os.environ.pop(foreign, None)


def _modules_to_check() -> list[str]:
    """Every module of hmr, critique and storage but those with numba, which cannot compile the checks."""
    files = [file for folder in ("hmr", "critique", "storage") for file in sorted((ROOT / folder).rglob("*.py"))]
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in files
        if file.name != "__init__.py" and not re.search(r"^\s*(import|from) numba", file.read_text(), re.MULTILINE)
    ]


install_import_hook(_modules_to_check(), "beartype.beartype")

# A busy machine is no fault of the code: no law is timed.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


# One process of xdist runs each of these files for half a minute or more: begun last, the others would wait for it.
LONG_FILES = (
    "test_readme.py", "test_align.py", "test_deployment.py", "test_published.py", "test_runners.py",
    "test_guarded_server.py", "test_server.py", "test_train_worker.py", "test_processes.py", "test_checkpoint.py",
    "test_runaway_toy.py", "test_compute.py", "test_named_server.py", "test_notebooks.py", "test_own_data.py",
    "test_reflect.py", "test_studio.py", "test_picture.py", "test_dead_runs.py", "test_remote_store.py",
    "test_scorenet.py", "test_faults.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; all else stays in its order."""
    items.sort(key=lambda item: (*LONG_FILES, item.path.name).index(item.path.name))


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A fresh home of hmr-align (Prefect server, its database and its logs) for one test."""
    folder = tmp_path / "home"
    monkeypatch.setenv("HMR_ALIGN_HOME", str(folder))
    return folder
