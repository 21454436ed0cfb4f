"""A run that judges again takes the newest version of its memory, and keeps to it only if it went on."""

import json
from dataclasses import replace

import pytest

from critique.memory.memory import Memory, read_toml
from tasks.critics.remembering import PINNED, newest, newest_memory, pin_memory, save_memory

RULE = """
[[rule]]
id = "r-1"
text = "When a knee bends backwards, take 10 points off."
state = "admitted"
tags = ["limb_alignment", "physical_plausibility"]
"""


@pytest.fixture
def places(tmp_path):
    """A run that is pinned to the first version of a memory that has two."""
    run, root, file = tmp_path / "run", tmp_path / "memory", tmp_path / "rules.toml"
    run.mkdir()
    file.write_text(RULE)
    first = save_memory(root, Memory(), None)
    pin_memory(run, root)
    save_memory(root, replace(Memory(), rules=read_toml(file).rules), first)
    return run, root, first


def pinned(run, root) -> str:
    return json.loads((run / PINNED).read_text())[str(root)]


def test_a_run_goes_back_unless_it_is_kept(places):
    run, root, first = places
    with newest_memory(run, root):
        assert pinned(run, root) == newest(root) != first
    assert pinned(run, root) == first
    with pytest.raises(KeyError), newest_memory(run, root):
        raise KeyError  # nobody agreed, or it failed before
    assert pinned(run, root) == first
    with newest_memory(run, root) as keep:
        keep()
    assert pinned(run, root) == newest(root)


def test_nothing_is_pinned_where_nothing_was(tmp_path):
    with newest_memory(tmp_path, None) as keep:
        keep()
    with newest_memory(tmp_path, tmp_path / "no-memory") as keep:
        keep()
    assert list(tmp_path.iterdir()) == []
