"""`hmr-align view`: a run in the browser, on this machine alone."""

import socket
import sys
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

PORT = 8321
"""The first port that is tried, so that an address can be kept as a bookmark."""


def view(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or its name in runs/.")] = "default",
    against: Annotated[str | None, typer.Option(metavar="RUN", help="A second run, to compare with.")] = None,
    port: Annotated[int | None, typer.Option(metavar="N", min=0, max=65535, help=f"[{PORT}, or a free one]")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """Look at a run in the browser: all groups, sorted and searched, meshes in 3-D, critics and runs compared.

    Until Ctrl-C. It answers this machine alone, writes nothing and needs no network.

    Example: hmr-align view runs/default --against runs/other
    """
    import uvicorn

    from flows.server.guarded_server import Doorkeeper
    from tasks.viewer.server import ViewedRun, application

    runs = [ViewedRun(folder_of(name)) for name in (run, against) if name is not None]
    with _listening(port) as listening:
        place = f"127.0.0.1:{listening.getsockname()[1]}"
        count = sum(len(one.gallery) for one in runs)
        typer.echo(f"{count:,} groups: http://{place}   (Ctrl-C ends it)")
        sys.stdout.flush()
        if not no_browser:
            threading.Timer(0.5, webbrowser.open, [f"http://{place}"]).start()
        settings = uvicorn.Config(Doorkeeper(application(runs), place), log_level="warning", proxy_headers=False)
        uvicorn.Server(settings).run(sockets=[listening])


def folder_of(run: str) -> Path:
    """The folder of a run that is given by its path, or by its name among the runs."""
    from tasks.run.settings import Settings

    path = Path(run).expanduser()
    return path if path.is_dir() else Settings().run.out / run


def _listening(port: int | None) -> socket.socket:
    """A socket of this machine: at `port`, else at PORT or a free one. Raises OSError if `port` is taken."""
    for number in [PORT, 0] if port is None else [port]:
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(("127.0.0.1", number))
            found.listen(100)  # from now on a browser waits for the server instead of being refused
            return found
        except OSError as error:
            found.close()
            if port is not None:
                raise typer.BadParameter(f"{port} cannot be used ({error.strerror}); choose another") from error
    raise AssertionError("port 0 is always free")
