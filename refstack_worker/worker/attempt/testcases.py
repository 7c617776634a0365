"""The test cases in a payload: listed there, or in a file at a URL if the operator allows that."""

from __future__ import annotations

import requests

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.contract import text_lists
from refstack_worker.contract.testcases import Testcases, check_testcases
from refstack_worker.errors import PayloadError, ServerError, UsageError
from refstack_worker.worker.server_api.attempts import ClaimedAttempt

MAX_BYTES = 8 * 1024 * 1024
PLAIN = {"Accept-Encoding": "identity"}
"""Eight compressed megabytes may hold gigabytes."""


def entries(claimed: ClaimedAttempt, settings: WorkerSettings) -> tuple[str, ...] | None:
    """Return the entries for ``execute_test --testcases``; None to have it ask the server.

    :raises PayloadError: lists by URL are not allowed here, or the list has an invalid line.
    :raises ServerError: the list cannot be downloaded.
    """
    requested = claimed.payload.testcases
    if requested is None:
        return None
    names = list(requested.entries())
    if requested.url:
        if not settings.run.allow_testcase_urls:
            raise PayloadError(
                f"payload: testcases.url: this node does not download test lists ({requested.url[:200]}); "
                "list the tests in the run, or set run.allow_testcase_urls"
            )
        names += parse(fetch(requested.url, settings))
    return tuple(names)


def fetch(url: str, settings: WorkerSettings) -> str:
    """Return the text of a list. :raises ServerError: it cannot be downloaded, or is larger than 8 MiB."""
    try:
        with requests.get(
            url, headers=PLAIN, timeout=settings.server.timeout, stream=True, allow_redirects=False
        ) as response:
            if response.status_code != 200:
                raise ServerError(f"test list {url}: response {response.status_code}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise ServerError(f"test list {url}: compressed; serve it uncompressed")
            data = response.raw.read(MAX_BYTES + 1, decode_content=False)
    except (requests.RequestException, OSError, ValueError) as error:
        raise ServerError(f"test list {url}: {error}") from error
    if len(data) > MAX_BYTES:
        raise ServerError(f"test list {url}: larger than {MAX_BYTES} bytes")
    return str(data.decode("utf-8-sig", "replace"))


def parse(text: str) -> list[str]:
    """Return the names in a list: one per line, or JSON. :raises PayloadError: an invalid name, or a damaged list."""
    try:
        names = [line.entry for line in text_lists.parse(text, "test list")]
    except UsageError as error:
        raise PayloadError(f"payload: testcases.url: {error}") from None
    check_testcases(Testcases(names=tuple(names)))
    return names
