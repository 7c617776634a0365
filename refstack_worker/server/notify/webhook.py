"""Sends one message to a webhook."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from refstack_worker.config.server_values import Network
from refstack_worker.errors import ServerError, UsageError
from refstack_worker.http.guard import (
    Deadline,
    GuardedRequest,
    OutboundGuard,
    allowed_address,
    ask_guarded,
    port_of,
    split,
)
from refstack_worker.server.domain.notifications import DueDelivery, Sent
from refstack_worker.server.notify import signature

SECONDS = 15.0
"""For the whole exchange with a receiver."""
CHECK_SECONDS = 5.0
SETTING = "HOOK_NETWORKS"
GONE = 410


def check_target(url: str, networks: Sequence[Network]) -> None:
    """Refuse a URL that no message may be sent to. :raises UsageError: saying why."""
    parts = split(url)
    try:
        allowed_address(parts.hostname or "", port_of(parts), _guard(networks, CHECK_SECONDS))
    except ServerError as error:
        raise UsageError(str(error)) from None


def send(due: DueDelivery, networks: Sequence[Network], now: float) -> Sent:
    """Send a message, signed. Any answer of 200 to 299 accepts it; redirects are not followed.

    :param networks: private networks that are allowed.
    """
    body = json.dumps(due.body, ensure_ascii=False).encode("utf-8")
    try:
        headers = signature.headers(due.secret, due.message_id, now, body)
        answer = ask_guarded(GuardedRequest(due.target, "POST", headers, body), _guard(networks, SECONDS))
    except (UsageError, ServerError) as error:
        # a name that leads inside today may have been changed by mistake; it is tried again
        return Sent(False, error=_without_path(str(error), due.target))
    if 200 <= answer.status < 300:
        return Sent(True, answer.status)
    return Sent(False, answer.status, f"the receiver answered {answer.status}", is_gone=answer.status == GONE)


def _without_path(text: str, url: str) -> str:
    """Return what went wrong without the path of the URL: of many receivers it is a secret, and errors are logged."""
    parts = urlsplit(url)
    return text.replace(f"{parts.netloc}{parts.path}", parts.netloc) if parts.path else text


def _guard(networks: Sequence[Network], seconds: float) -> OutboundGuard:
    return OutboundGuard(networks, Deadline(seconds), SETTING)
