"""Backup and restore as docs/week.md has them: what is restored is whole, and what was lost is what was damaged."""

import re
import shlex
import subprocess
from pathlib import Path

from storage.group_store import GroupStore
from tasks.rescoring.chosen_groups import choose
from tasks.run.settings import Settings
from tests.factories import same, store_in_one_photograph

ROOT = Path(__file__).parents[2]


def test_a_run_is_restored_from_its_copy(tmp_path):
    (tmp_path / "runs").mkdir()
    store = store_in_one_photograph(tmp_path / "runs" / "mine", 3)
    before = store.read_groups("round0", "0")
    (tmp_path / "restored").mkdir()
    page = (ROOT / "docs" / "week.md").read_text()
    copy, restore = re.findall(r"^tar .+$", page, re.MULTILINE)
    subprocess.run(shlex.split(copy), cwd=tmp_path, check=True, timeout=60)
    (file,) = store.root.glob("hyps/gen=round0/*.parquet")
    file.write_bytes(file.read_bytes()[:-100])
    assert store.verify()
    subprocess.run(shlex.split(restore), cwd=tmp_path, check=True, timeout=60)
    again = GroupStore(tmp_path / "restored" / "mine" / "store")
    assert again.verify() == [] and same(again.read_groups("round0", "0"), before)
    settings = Settings.model_validate({"run": {"name": "mine", "out": tmp_path / "restored"}})
    assert choose(settings, "scorer@3", again).groups == 3  # as `rescore --plan` says it
