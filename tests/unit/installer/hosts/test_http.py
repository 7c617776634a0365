"""A server's clock, and small files."""

from __future__ import annotations

import pytest
from refstack_install.hosts import http

from tests.support.http_server import Reply, serving


@pytest.mark.parametrize("status", [200, 404, 503])
def test_the_clock_of_any_answer_is_compared(status: int) -> None:
    with serving() as server:
        server.on("/", Reply(status=status))
        offset = http.clock_offset(f"{server.url}/")
    assert offset is not None and abs(offset) < 5


def test_a_server_that_does_not_answer() -> None:
    with serving() as server:
        url = server.url
    for ask in (http.clock_offset, http.fetch):
        with pytest.raises(OSError, match="refused"):
            ask(url)


def test_files_are_fetched_and_errors_are_not_files() -> None:
    with serving() as server:
        server.on("/key", Reply(body=b"key"))
        server.on("/none", Reply(status=404, body=b"no such key"))
        assert http.fetch(f"{server.url}/key") == b"key"
        with pytest.raises(OSError, match="Not Found"):
            http.fetch(f"{server.url}/none")


def test_a_file_without_end_is_cut() -> None:
    with serving() as server:
        server.on("/key", Reply(body=b"x" * (http.MAX_FILE_BYTES + 100)))
        assert len(http.fetch(f"{server.url}/key")) == http.MAX_FILE_BYTES
