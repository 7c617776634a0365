"""The test cases that a payload names: by themselves, or by the URL of a list where the operator allows it."""

from __future__ import annotations

import requests

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.contract.payload import Testcases, check_testcases
from refstack_worker.errors import PayloadError, ServerError
from refstack_worker.worker.server_api.attempts import ClaimedAttempt

MAX_BYTES = 8 * 1024 * 1024
PLAIN = {"Accept-Encoding": "identity"}
"""Eight megabytes, compressed, may be gigabytes."""


def entries(held: ClaimedAttempt, settings: WorkerSettings) -> tuple[str, ...] | None:
    """Return the entries for ``execute_test --testcases``; None when the server is to be asked.

    :raises PayloadError: a list by URL is not allowed here, or what it holds are no test names.
    :raises ServerError: the list cannot be fetched.
    """
    wanted = held.payload.testcases
    if wanted is None:
        return None
    found = list(wanted.entries())
    if wanted.url:
        if not settings.run.allow_testcase_urls:
            raise PayloadError(
                f"payload: testcases.url: this node fetches no lists ({wanted.url[:200]}); "
                "name the tests, or allow it with run.allow_testcase_urls"
            )
        found += parse(fetch(wanted.url, settings))
    return tuple(found)


def fetch(url: str, settings: WorkerSettings) -> str:
    """Return the text of a list. :raises ServerError: it cannot be had, or is larger than 8 MiB."""
    try:
        with requests.get(
            url, headers=PLAIN, timeout=settings.server.timeout, stream=True, allow_redirects=False
        ) as answer:
            if answer.status_code != 200:
                raise ServerError(f"test list {url}: answered {answer.status_code}")
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise ServerError(f"test list {url}: is compressed; serve it as it is")
            data = answer.raw.read(MAX_BYTES + 1, decode_content=False)
    except (requests.RequestException, OSError, ValueError) as error:
        raise ServerError(f"test list {url}: {error}") from error
    if len(data) > MAX_BYTES:
        raise ServerError(f"test list {url}: larger than {MAX_BYTES} bytes")
    return str(data.decode("utf-8", "replace"))


def parse(text: str) -> list[str]:
    """Return the names in a list, one a line; ``#`` begins a comment. :raises PayloadError: a line is no test name."""
    lines = (line.partition(" #")[0].strip() for line in text.splitlines())
    names = [line for line in lines if line and not line.startswith("#")]
    check_testcases(Testcases(names=tuple(names)))
    return names
