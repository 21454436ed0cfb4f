"""The benchmark of imports, on a small file: every record comes in, and all numbers are there."""

from pathlib import PurePosixPath

from storage.sources.adapter import check_paths, folder_of, sample_ids
from tasks.benchmarks.import_benchmark import measure_import


def test_every_record_comes_in():
    rows = {row["metric"]: row["value"] for row in measure_import(1200)}
    assert rows["import.records"] == 1200 and rows["import.records_per_second"] > 0
    assert rows["import.records_per_cpu_second"] > 0 and rows["import.grown_mb"] < 500


def test_paths_are_cut_as_pathlib_cuts_them():
    for path in ("a/b.c/d.e.jpg", "x.png", "a/./b//c", "a/.hidden", "a/name.", "seq/0001"):
        check_paths("file", "key", [path])
        pure = PurePosixPath(path)
        assert folder_of(path) == str(pure.parent)
        assert sample_ids("d", "", [path], ["0"]) == [f"d/all/{pure.with_suffix('')}/0"]
