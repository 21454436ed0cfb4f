"""The free photographs: each with its owner and digest, and copied once."""

import hashlib
import re
from pathlib import Path

import tasks
from hmr.detection.photograph import read_photograph
from tasks.photographs import free_photographs

SHIPPED = Path(tasks.__file__).parent / "assets" / "photographs"


def test_every_photograph_is_named_with_its_owner_and_digest():
    notice = (SHIPPED / "NOTICE.md").read_text()
    files = sorted(SHIPPED.glob("*.jpg"))
    assert len(files) >= 8
    for path in files:
        (row,) = re.findall(rf"^\| `{re.escape(path.name)}` \|(.*)\|$", notice.split("## Digests")[0], re.MULTILINE)
        assert len([cell for cell in row.split("|") if cell.strip()]) == 5, path
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert f"| `{path.name}` | {path.stat().st_size} | `{digest}` |" in notice
        assert path.name in (SHIPPED.parents[2] / "NOTICE").read_text()
    assert set(re.findall(r"`(\w+\.jpg)`", notice)) == {path.name for path in files}


def test_they_are_copied_once_and_can_be_read(tmp_path):
    folder = free_photographs.fn(tmp_path / "free")
    assert {p.name for p in folder.iterdir()} == {p.name for p in SHIPPED.glob("*.jpg")}
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert all(max(read_photograph(p).pixels.shape) <= 1024 for p in before)
    lost = min(before)
    lost.unlink()
    free_photographs.fn(folder)
    assert {p: p.stat().st_mtime_ns for p in before if p != lost} == {p: t for p, t in before.items() if p != lost}
    assert lost.read_bytes() == (SHIPPED / lost.name).read_bytes()
