"""The test cases in a payload: listed there, or in a file at a URL if the operator allows that."""

from __future__ import annotations

from dataclasses import dataclass

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.contract import networks, text_lists
from refstack_worker.contract.limits import MAX_TEXT_BYTES
from refstack_worker.contract.testcases import Testcases, check_testcases
from refstack_worker.contract.text_files import decode_leniently
from refstack_worker.errors import PayloadError, ServerError, UsageError
from refstack_worker.http.guard import Deadline, GuardedRequest, OutboundGuard, ask_guarded, is_never_public
from refstack_worker.worker.server_api.attempts import ClaimedAttempt

SECONDS = 60.0
"""For the whole download of a list: an address that a vendor gave must not hold the node."""


@dataclass(frozen=True)
class _NodeGuard(OutboundGuard):
    """Allows what runs may reach: an operator's own network too, but no metadata service and no way into the queue."""

    def check(self, address: str) -> None:
        if networks.is_forbidden(address) or is_never_public(address):
            raise UsageError(f"{address} is an address that nodes must not ask")


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
        names += parse(fetch(requested.url))
    return tuple(names)


def fetch(url: str) -> str:
    """Return the text of a list.

    :raises PayloadError: a node must not ask this address.
    :raises ServerError: the list cannot be downloaded, or is larger than 8 MiB.
    """
    guard = _NodeGuard(deadline=Deadline(SECONDS), max_bytes=MAX_TEXT_BYTES)
    try:
        answer = ask_guarded(GuardedRequest(url, headers={"Accept": "text/plain, application/json"}), guard)
    except UsageError as error:
        raise PayloadError(f"payload: testcases.url: {error}") from None
    except ServerError as error:
        raise ServerError(f"test list {error}") from error
    if answer.status != 200:
        raise ServerError(f"test list {url}: response {answer.status}")
    if answer.headers.get("content-encoding", "identity") != "identity":
        # eight compressed megabytes may hold gigabytes
        raise ServerError(f"test list {url}: compressed; serve it uncompressed")
    return decode_leniently(answer.body)


def parse(text: str) -> list[str]:
    """Return the names in a list: one per line, or JSON. :raises PayloadError: an invalid name, or a damaged list."""
    try:
        names = [line.entry for line in text_lists.parse(text, "test list")]
    except UsageError as error:
        raise PayloadError(f"payload: testcases.url: {error}") from None
    check_testcases(Testcases(names=tuple(names)))
    return names
