"""What the site shows that is not written in docs/: made from the tree at every build, so that it is never out of date.

- the API reference: a page for every public module of the packages that pyproject.toml names, wherever it lies;
- the notebooks, as they were last executed;
- pages that lie beside what they describe: committed results, changelog, contributing.

Equations stand in ```math fences, as GitHub shows them; here they become MathML, which browsers draw without a script.
"""

import html
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "deploy" / "experiments"
BESIDE = {
    "project/changelog.md": ROOT / "CHANGELOG.md",
    "project/contributing.md": ROOT / "CONTRIBUTING.md",
    "project/photographs.md": ROOT / "deploy" / "photographs.md",
    "pictures/group.jpg": ROOT / "deploy" / "pictures" / "group.jpg",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Teach the Markdown reader the fence ```math."""
    fence = {"name": "math", "class": "math", "format": equation}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add all pages that are not written in docs/, and the API reference to the navigation."""
    copied = BESIDE | {
        f"experiments/{path.relative_to(RESULTS)}": path for path in RESULTS.rglob("*") if path.is_file()
    }
    for uri, path in copied.items():
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    pages: dict[str, str] = {}
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        pages[f"notebooks/{path.stem}.md"] = "\n\n".join(notebook_parts(json.loads(path.read_text())))
    navigation: list[Any] = ["reference/index.md"]
    index = "# API reference\n\nEvery public module; each folder opens with its own page.\n\n"
    for package in packages():
        pages |= module_pages(ROOT / package)
        navigation.append({package: room_navigation(ROOT / package)})
        index += f"- [`{package}`]({package}/index.md)\n"
    for uri, content in {**pages, "reference/index.md": index}.items():
        files.append(File.generated(config, uri, content=content))
    assert config.nav is not None
    config.nav.append({"API reference": navigation})
    return files


def equation(source: str, *_: Any, **__: Any) -> str:
    """One LaTeX equation as a MathML block; the arguments after it are those that superfences passes."""
    return f'<div class="equation">{convert(source.strip(), display="block")}</div>'


def packages() -> list[str]:
    """The top-level packages, as the wheel is built from them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def rooms_and_modules(room: Path) -> Iterator[Path]:
    """The public modules and packages right inside one package, by name."""
    for path in sorted(room.iterdir()):
        is_package = (path / "__init__.py").exists()
        if not path.name.startswith("_") and (path.suffix == ".py" or is_package):
            yield path


def module_pages(room: Path) -> dict[str, str]:
    """A reference page for a package and for everything public below it, by the page's path."""
    name = ".".join(room.relative_to(ROOT).parts)
    uri = "/".join(("reference", *room.relative_to(ROOT).parts))
    pages = {f"{uri}/index.md": f"::: {name}\n    options:\n      members: false\n"}
    for path in rooms_and_modules(room):
        if path.is_dir():
            pages |= module_pages(path)
        else:
            pages[f"{uri}/{path.stem}.md"] = f"::: {name}.{path.stem}\n"
    return pages


def room_navigation(room: Path) -> list[Any]:
    """The entries of a package in the navigation: its own page first."""
    uri = "/".join(("reference", *room.relative_to(ROOT).parts))
    entries: list[Any] = [f"{uri}/index.md"]
    for path in rooms_and_modules(room):
        entries.append({path.stem: room_navigation(path) if path.is_dir() else f"{uri}/{path.stem}.md"})
    return entries


def notebook_parts(notebook: dict[str, Any]) -> Iterator[str]:
    """A notebook as Markdown: its text, its code, and what the code last showed."""
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield source
            continue
        yield f"```python\n{source}\n```"
        for output in cell["outputs"]:
            shown = output.get("data", {"text/plain": output.get("text", [])})
            if "image/png" in shown:
                yield f'<img alt="output of the cell above" src="data:image/png;base64,{shown["image/png"].strip()}">'
            elif "text/html" in shown:
                yield f'<div class="output">{"".join(shown["text/html"])}</div>'
            else:
                yield f'<pre class="output">{html.escape("".join(shown["text/plain"]))}</pre>'
