"""The test double answers programs of this machine, and no page that is open in a browser."""

import http.client
from urllib.parse import urlsplit

import pytest

from critique.endpoint.loopback import LoopbackVlm, good


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {}),
        (200, {"Host": "localhost:PORT"}),
        (200, {"Sec-Fetch-Site": "none"}),  # typed into the browser
        (403, {"Origin": "https://evil.example"}),
        (403, {"Origin": "null"}),
        (403, {"Host": "evil.example:PORT"}),  # DNS rebinding
        (403, {"Host": "127.0.0.1"}),
        (403, {"Sec-Fetch-Site": "cross-site"}),
    ],
)
def test_requests_of_a_foreign_page_are_refused(status, headers):
    with LoopbackVlm([good()]) as server:
        place = urlsplit(server.base_url).netloc
        port = place.partition(":")[2]
        connection = http.client.HTTPConnection(place, timeout=10)
        named = {name: value.replace("PORT", port) for name, value in headers.items()}
        connection.request("GET", "/v1/models", headers=named)
        reply = connection.getresponse()
        assert (reply.status, reply.getheader("access-control-allow-origin")) == (status, None)
        assert bool(server.others) == (status == 200)
        connection.close()
