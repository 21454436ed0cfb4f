"""Reports of runs beside the dashboard: /reports/TOKEN/report.html on our own server, linked from the run's page.

A browser sends no key with a link, so the address itself is the secret: its token is derived from the server's key and
the folder. Only pages (.html) below a folder that a program of ours has published are read, and none of their
scripts is run.
"""

import hashlib
import hmac
import os
import re
from pathlib import Path

from storage.finished_file import write_text

PREFIX = "/reports/"
FOLDER = "reports"
HEADERS = [
    (b"content-security-policy", b"default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox allow-popups"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


def publish(page: Path) -> str | None:
    """Have our server show a page and the pages below its folder; returns its address.

    None if the program records into another server, or into none.
    """
    from flows.server.server import server_home
    from flows.server.server_key import read_key

    home, api = server_home(), os.environ.get("PREFECT_API_URL", "")
    if os.environ.get("PREFECT_HOME") != str(home / "prefect") or not api.endswith("/api"):
        return None
    page = page.absolute()
    token = hmac.new(read_key(home).encode(), str(page.parent).encode(), hashlib.sha256).hexdigest()[:32]
    note = home / FOLDER / token
    if not note.exists():
        write_text(note, str(page.parent))
    return f"{api.removesuffix('/api')}{PREFIX}{token}/{page.name}"


def page_at(path: str, home: Path) -> bytes | None:
    """The content of the published page with this path of an address; None if there is none."""
    found = re.fullmatch(rf"{PREFIX}([0-9a-f]{{32}})/([^\0]+\.html)", path)
    if found is None:
        return None
    try:
        folder = Path((home / FOLDER / found[1]).read_text()).resolve()
        page = (folder / found[2]).resolve()
        return page.read_bytes() if page.is_relative_to(folder) else None
    except (OSError, ValueError):
        return None
