"""Whatever a writer is killed at, and whatever is damaged: what was committed is read, or it is an error."""

import hypothesis.strategies as st
from hypothesis import given, settings

from storage.shards.journal import START, append, lines_since, parsed, read_head, write_journal

LINES = [b'["0", "a"]\n', b'["1", "bb"]\n', b'["22", "c"]\n', b'["3", "dddd"]\n']
HEAD = START.size
SIZE = HEAD // 2


def read(path):
    """The lines of a journal; None if it is damaged."""
    found = lines_since(path, read_head(path), START)
    return found and found[1]


def commit(path, line):
    head = read_head(path)
    count, _ = lines_since(path, head, START)
    assert append(path, head, count, line) == (read_head(path), count.after(line))


def filled(path, lines):
    """The bytes of a journal of one line at the start and the others appended."""
    write_journal(path, lines[0])
    for line in lines[1:]:
        commit(path, line)
    return path.read_bytes()


@settings(max_examples=30, deadline=None)
@given(start=st.integers(0, 3), batches=st.lists(st.lists(st.integers(), max_size=3), max_size=5))
def test_what_is_appended_is_read(tmp_path_factory, start, batches):
    path = tmp_path_factory.mktemp("journal") / "_journal-1.jsonl"
    write_journal(path, b"".join(LINES[:start]))
    written = parsed(b"".join(LINES[:start]))
    for batch in batches:
        since, _ = lines_since(path, read_head(path), START)
        lines = b"".join(b"[%d]\n" % number for number in batch)
        commit(path, lines)
        written += [[number] for number in batch]
        assert lines_since(path, read_head(path), since)[1] == lines
        assert parsed(read(path)) == written


def test_killed_at_any_byte(tmp_path):
    """The line is written first, then its count; a power cut may keep either without the other, or part of it."""
    path = tmp_path / "j"
    before, new = filled(path, LINES[:3]), LINES[3]
    commit(path, new)
    after = path.read_bytes()
    place = 0 if before[:SIZE] != after[:SIZE] else SIZE
    states = [before + new[:kept] for kept in range(len(new) + 1)]
    states += [after[: place + kept] + before[place + kept : HEAD] + after[HEAD:] for kept in range(SIZE)]
    states += [after[:HEAD] + before[HEAD:] + new[:kept] for kept in range(len(new))]
    states += [after[:HEAD] + before[HEAD:] + bytes(len(new))]
    assert after in states  # from the count's last changed byte on it is a commit
    for state in states:
        path.write_bytes(state)
        there = LINES if state == after else LINES[:3]
        assert read(path) == b"".join(there)
        commit(path, b'["other"]\n')
        assert read(path) == b"".join([*there, b'["other"]\n'])


def test_a_changed_byte_is_damage_or_costs_the_last_line_alone(tmp_path):
    path = tmp_path / "j"
    whole = filled(path, LINES)
    for place in range(len(whole)):
        for bit in (1, 16):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            found = read(path)
            if HEAD <= place < len(whole) - len(LINES[-1]):
                assert found is None
            else:
                assert found in (b"".join(LINES), b"".join(LINES[:-1]))


def test_a_journal_that_is_cut_off_is_damaged(tmp_path):
    path = tmp_path / "j"
    whole = filled(path, LINES)
    for length in range(len(whole) - len(LINES[-1])):
        path.write_bytes(whole[:length])
        assert read(path) is None


def test_a_writer_notices_that_it_was_cut_off(tmp_path):
    path = tmp_path / "j"
    whole = filled(path, LINES)
    head = read_head(path)
    count, _ = lines_since(path, head, START)
    path.write_bytes(whole[:-3])
    assert append(path, head, count, b"[]\n") is None
    path.unlink()
    assert append(path, head, count, b"[]\n") is None
    assert read_head(path) == b"" and read(path) is None
