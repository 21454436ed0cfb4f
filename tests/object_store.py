"""A real S3 server on this machine, for tests: moto's, over HTTP."""

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
from moto.server import ThreadedMotoServer

from storage.remote_path import RemotePath, place_of


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """A server, and what a program needs in its environment to find it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test-key",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.stop()


def new_bucket() -> RemotePath:
    """A place for a store in a new bucket of the server in the environment."""
    bucket = f"bucket-{secrets.token_hex(4)}"
    fsspec.filesystem("s3", use_listings_cache=False).mkdir(bucket)
    place = place_of(f"s3://{bucket}/deep/store")
    assert isinstance(place, RemotePath) and "AWS_ENDPOINT_URL" in os.environ
    return place
