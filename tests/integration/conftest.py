"""One server and one cache of studio people for all programs that the integration tests start."""

import os

import pytest

from flows.server.server import client_environment, start_server, stop_server
from tests.integration.programs import Programs

TINY = """
[run]
shard_size = 8
[sample]
hypotheses = 5
[overlay]
size = 128
groups_shown = 2
[align]
rounds = 1
[train]
steps = 6
evaluate_every = 3
groups_per_step = 4
guard = { min_gain_percent = 0.0, max_rise_percent = 50.0 }
[benchmark]
hypotheses = 4
bootstrap = 50
[studio]
wild = 8
val = 4
test = 4
"""


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """A server for the session, tiny settings, and everything that a program needs in its environment."""
    folder = tmp_path_factory.mktemp("programs")
    tiny = folder / "tiny.toml"
    tiny.write_text(TINY)
    # Not `prefect_server()`: it would point this process, and so every other test in it, to the server.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMR_ALIGN_HOME", str(folder / "home"))
        server = start_server()
        environment = {
            **os.environ,
            **client_environment(server),
            "HMR_ALIGN_CACHE": str(folder / "cache"),
            "HMR_ALIGN_RUNS": str(folder / "runs"),
            "OMP_NUM_THREADS": "1",
        }
    try:
        yield Programs(environment, tiny)
    finally:
        stop_server(server)
