"""Which pages our server shows without a key: published ones, by an address that nobody guesses, and none besides."""

import pytest

from flows.server.served_reports import FOLDER, page_at, publish
from flows.server.server_key import server_key


@pytest.fixture
def address(home, monkeypatch, tmp_path) -> str:
    """Path of the address of a published page; another page lies below it, a secret above."""
    run = tmp_path / "runs" / "mine"
    (run / "training").mkdir(parents=True)
    (run / "report.html").write_text("<p>mine")
    (run / "training" / "why.html").write_text("<p>why")
    (run / "settings.json").write_text("{}")
    (tmp_path / "runs" / "secret.html").write_text("secret")
    home.mkdir()
    server_key(home)
    monkeypatch.setenv("PREFECT_HOME", str(home / "prefect"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    found = publish(run / "report.html")
    assert found is not None and found == publish(run / "report.html")  # it stays the same
    assert len(list((home / FOLDER).iterdir())) == 1
    return found.removeprefix("http://127.0.0.1:4200")


def test_published_pages_are_shown_and_nothing_else(address, home):
    folder = address.removesuffix("/report.html")
    assert page_at(address, home) == b"<p>mine" and page_at(f"{folder}/training/why.html", home) == b"<p>why"
    for other in ("../secret.html", "training/../../secret.html", "settings.json", "nothing.html", ""):
        assert page_at(f"{folder}/{other}", home) is None
    assert page_at(f"/reports/{'0' * 32}/report.html", home) is None
    assert page_at("/reports/../server.key", home) is None


def test_a_link_out_of_the_folder_is_not_followed(address, home, tmp_path):
    (tmp_path / "runs" / "mine" / "link.html").symlink_to(tmp_path / "runs" / "secret.html")
    assert page_at(address.replace("report.html", "link.html"), home) is None


def test_another_server_shows_none(home, monkeypatch, tmp_path):
    monkeypatch.setenv("PREFECT_API_URL", "https://prefect.example/api")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "theirs"))
    assert publish(tmp_path / "report.html") is None
