"""First read of Prefect's settings, with an error in them reported in one line.

Prefect reads them when it is imported, from the environment, the folder's .env, prefect.toml and pyproject.toml,
and a profile. A value that it cannot read would cause an exception of pydantic, wherever the import is.
"""

import io
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr
from pathlib import Path


class PrefectSettingsError(ValueError):
    """A setting of Prefect that it cannot read; the message names the variable, never its value."""


def load_prefect() -> None:
    """Import prefect. Raises PrefectSettingsError if one of its settings cannot be read."""
    said = io.StringIO()  # it would print the value that it cannot read, perhaps a password
    try:
        with redirect_stderr(said):
            import prefect.settings

            prefect.settings.get_current_settings()
    except Exception as error:
        faults = list(_faults(error))
        if not faults:
            raise
        raise PrefectSettingsError(sentence(faults, os.environ, _dotenv(Path(".env")))) from error


def sentence(faults: list[tuple[str, str]], environment: Mapping[str, str], dotenv: Mapping[str, str]) -> str:
    """One line about (field, reason) pairs: which variable of the environment or .env sets the field."""
    lines = []
    for field, reason in faults:
        tail = re.compile(rf"(PREFECT_)?(\w+_)?{re.escape(field)}", re.IGNORECASE)
        names = [name for name in environment if name.upper().startswith("PREFECT_") and tail.fullmatch(name)]
        names += [f"{name} in .env" for name in dotenv if tail.fullmatch(name) and name not in names]
        lines.append(f"{' or '.join(names) or field}: {reason}")
    where = "" if environment or dotenv else " (in prefect.toml, pyproject.toml or a profile)"
    return f"Prefect cannot read its settings{where}. {'; '.join(lines)}. Correct or remove it"


def _faults(error: Exception) -> Iterator[tuple[str, str]]:
    """Field and reason of each fault, if this is an exception about settings."""
    from pydantic import ValidationError
    from pydantic_settings.exceptions import SettingsError

    if isinstance(error, ValidationError) and error.title.endswith("Settings"):
        for one in error.errors(include_input=False, include_url=False, include_context=False):
            if one["loc"] and one["type"] != "default_factory_not_called":
                yield str(one["loc"][0]), one["msg"]
    elif isinstance(error, SettingsError):
        found = re.search(r'field "(\w+)"', str(error))
        yield (found[1], "cannot be read") if found else ("", str(error))


def _dotenv(path: Path) -> dict[str, str]:
    """The variables of a .env file that are Prefect's."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return {}
    found = re.findall(r"^\s*(?:export\s+)?(PREFECT_\w+)\s*=(.*)$", text, re.IGNORECASE | re.MULTILINE)
    return dict(found)
