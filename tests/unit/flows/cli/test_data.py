"""`hmr-align data` as a user calls it."""

import json

import pyarrow.parquet as pq
from typer.testing import CliRunner

from flows.cli.command_line import app
from storage.sources.catalogue import KINDS
from tests.people_files import coco
from tests.people_scene import people_scene


def test_an_import_tells_what_came_in(tmp_path):
    path, out = coco(people_scene(5, 1), tmp_path), tmp_path / "people.parquet"
    numbers = tmp_path / "import.json"
    result = CliRunner().invoke(
        app, ["data", "import", "coco", str(path), "--out", str(out), "--split", "val", "--json", str(numbers)]
    )
    assert result.exit_code == 0, result.output
    assert "5 records" in result.output and out.with_suffix(".html").exists()
    assert pq.read_table(out)["split"].to_pylist() == ["val"] * 5
    details = {row["metric"]: row["value"] for row in json.loads(numbers.read_text())["results"]}
    assert details["import.records"] == 5 and details["import.records_per_second"] > 0


def test_formats_are_listed():
    output = CliRunner().invoke(app, ["data", "formats"]).output
    assert all(name in output for name in KINDS)


def test_a_misspelt_name_is_told():
    result = CliRunner().invoke(app, ["data", "import", "hi4", "nowhere", "--out", "a.parquet"])
    assert result.exit_code and "Did you mean 'hi4d'?" in str(result.exception)
