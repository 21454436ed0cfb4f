"""The key: made once, readable by its owner alone."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor

from flows.server.server_key import key_file, read_key, server_key


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    home = tmp_path / "home"
    before = os.umask(0)
    try:
        key = server_key(home)
    finally:
        os.umask(before)
    assert mode(key_file(home)) == 0o600 and mode(home) == 0o700
    assert key.startswith("hmr-align:") and len(key) > 40
    assert server_key(home) == read_key(home) == key
    assert list(home.iterdir()) == [key_file(home)]


def test_two_homes_have_two_keys(tmp_path):
    assert server_key(tmp_path / "a") != server_key(tmp_path / "b")


def test_a_file_that_was_opened_to_others_is_closed_and_an_empty_one_filled(tmp_path):
    key_file(tmp_path).write_text("")
    key = server_key(tmp_path)
    key_file(tmp_path).chmod(0o644)
    assert server_key(tmp_path) == key and mode(key_file(tmp_path)) == 0o600


def test_programs_that_start_at_the_same_moment_get_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: server_key(tmp_path), range(32)))) == 1


def test_where_there_is_none_nothing_is_read(tmp_path):
    assert read_key(tmp_path) == ""
