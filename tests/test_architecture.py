"""What is guarded of the layout: who imports whom, no circles, rooms whose pages name their files, our names."""

import ast
import importlib.metadata
import re
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("flows", "tasks", "hmr", "critique", "storage")

# Modules that import nothing of ours, not even of their own folder; every folder may import them.
LEAVES = {"storage.finished_file", "storage.picture_file", "storage.safe_pickle"}

# What a folder may import of ours (a folder, or one module of it), beside itself.
ARROWS = {
    "flows": {"tasks", "hmr", "critique", "storage"},
    "tasks": {"hmr", "critique", "storage"},
    "hmr": set(),
    "critique": {"storage.records"},
    "storage": set(),
}
MAY_IMPORT_PREFECT = {"flows", "tasks"}


def imports(source: str, package: str) -> set[str]:
    """Dotted names that a module imports anywhere, also inside functions; `package` resolves leading dots."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def forbidden(names: set[str], folder: str) -> set[str]:
    """Those of `names` that a module in `folder` may not import."""
    allowed = ARROWS[folder] | {folder} | LEAVES
    ours = {name for name in names if name.split(".")[0] in FOLDERS}
    bent = {name for name in ours if not any(f"{name}.".startswith(f"{allow}.") for allow in allowed)}
    prefect = {name for name in names if name.split(".")[0] == "prefect"}
    return bent | (set() if folder in MAY_IMPORT_PREFECT else prefect)


@pytest.mark.parametrize("folder", FOLDERS)
def test_arrows(folder):
    faults = [
        f"{path} imports {', '.join(sorted(bad))}; {folder}/ may use {ARROWS[folder] or 'none of ours'}"
        for path in sorted(file.relative_to(ROOT) for file in (ROOT / folder).rglob("*.py"))
        if (bad := forbidden(imports((ROOT / path).read_text(), ".".join(path.parts[:-1])), folder))
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_leaves_import_nothing_of_ours(leaf):
    found = imports((ROOT / f"{leaf.replace('.', '/')}.py").read_text(), leaf.split(".")[0])
    assert not {name for name in found if name.split(".")[0] in FOLDERS}


def test_the_test_sees_bent_arrows():
    found = imports("from . import records\nfrom ..hmr import body\ndef f(): import prefect.flows", "storage")
    assert found == {"storage.records", "hmr.body", "prefect.flows"}
    assert forbidden(found, "critique") == {"hmr.body", "prefect.flows"}
    assert forbidden({"storage.group_store.GroupStore"}, "critique") == {"storage.group_store.GroupStore"}
    assert forbidden({"storage.finished_file.write_text", "storage.rows"}, "hmr") == {"storage.rows"}
    assert forbidden({"hmr.body.body.Body", "prefect.flow", "numpy"}, "tasks") == set()


def modules() -> dict[str, Path]:
    """Our modules by dotted name; a room is its page."""
    found = {}
    for path in (file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def test_no_module_imports_itself_by_way_of_others():
    """Imports inside functions count too."""
    known = modules()
    arrows = {
        name: {
            target if target in known else target.rpartition(".")[0]
            for target in imports(path.read_text(), name if path.name == "__init__.py" else name.rpartition(".")[0])
        }
        & known.keys()
        for name, path in known.items()
    }
    assert not circle(arrows), " -> ".join(circle(arrows))


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in turn; none if there is no circle."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_the_test_sees_a_circle():
    assert not circle({"a": {"b"}, "b": set()})
    assert set(circle({"a": {"b"}, "b": {"a"}})) == {"a", "b"}


MOST_FILES = 18
PAGES = sorted(path.relative_to(ROOT) for path in modules().values() if path.name == "__init__.py")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_room_s_page_names_each_of_its_files(page):
    room = (ROOT / page).parent
    inside = [path for path in room.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    names = {path.stem for path in inside} - {"__init__"}
    words = set(re.findall(r"\w+", ast.get_docstring(ast.parse((ROOT / page).read_text())) or ""))
    assert names <= words, f"{page} does not name {', '.join(sorted(names - words))}"
    assert len([path for path in inside if path.suffix == ".py"]) - 1 <= MOST_FILES, "find the next noun"


def test_no_other_distribution_owns_our_names():
    owners = importlib.metadata.packages_distributions()
    foreign = {name: set(owners.get(name, ())) - {"hmr-align"} for name in FOLDERS}
    taken = {name: others for name, others in foreign.items() if others}
    assert not taken, f"these distributions install packages with our names: {taken}; uninstall them"


def test_no_flow_hides_a_package():
    """A flow deployed by file puts flows/ first on sys.path: such a file would replace the real package."""
    installed = set(importlib.metadata.packages_distributions()) | set(sys.stdlib_module_names) | set(FOLDERS)
    hiding = {path.name for path in (ROOT / "flows").glob("*.py")} & {f"{name}.py" for name in installed}
    assert not hiding, f"rename in flows/: {', '.join(sorted(hiding))}"
