"""The key of our server: made at its first start, stored in a file that only its owner can read."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

OWNER_ONLY = 0o600


def key_file(home: Path) -> Path:
    """The file with the key."""
    return home / "server.key"


def server_key(home: Path) -> str:
    """The key, `hmr-align:...`, made now if there is none; Prefect calls it an auth string.

    Two programs that make one at the same moment get the same: only one link to a finished file can be made.
    """
    file = key_file(home)
    if not read_key(home):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if file.exists() and file.stat().st_size == 0:
            file.unlink()
        fresh = home / f"_tmp-{os.getpid()}-{secrets.token_hex(4)}.key"
        with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY), "w") as target:
            target.write(f"hmr-align:{secrets.token_urlsafe(24)}\n")
        with suppress(FileExistsError):
            os.link(fresh, file)
        fresh.unlink()
    if file.stat().st_mode & 0o077:
        file.chmod(OWNER_ONLY)
    return read_key(home)


def read_key(home: Path) -> str:
    """The key, or "" if none was made."""
    try:
        return key_file(home).read_text().strip()
    except FileNotFoundError:
        return ""
