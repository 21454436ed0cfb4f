"""The two facts about the layout that are guarded: which folder may import which, and who owns our names."""

import ast
import importlib.metadata
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("flows", "tasks", "hmr", "critique", "storage")

# Modules that import nothing of ours, not even of their own folder; every folder may import them.
LEAVES = {"storage.finished_file", "storage.safe_pickle"}

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
    assert found == {"storage.records", "hmr.body.body", "prefect.flows"}
    assert forbidden(found, "critique") == {"hmr.body.body", "prefect.flows"}
    assert forbidden({"storage.group_store.GroupStore"}, "critique") == {"storage.group_store.GroupStore"}
    assert forbidden({"storage.finished_file.write_text", "storage.manifest"}, "hmr") == {"storage.manifest"}
    assert forbidden({"hmr.body.body.Body", "prefect.flow", "numpy"}, "tasks") == set()


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
