"""Names where the API wants numbers: clouds, vendors, users, schedules and so on, as people call them.

A word that fits none raises :class:`NotFoundError`, as a number does; one that fits several :class:`UsageError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from refstack_worker.errors import NotFoundError, UsageError


class Asks(Protocol):
    """What is needed of the API."""

    def get(self, path: str, query: Mapping[str, Any] | None = ...) -> Any: ...


def cloud_id(api: Asks, word: str) -> int:
    """Return the id of a cloud. :param word: its id or its name."""
    return _number(word) or _one("cloud", word, api.get("/v1/clouds")["clouds"], ("label",))


def vendor_id(api: Asks, word: str) -> int:
    """Return the id of a vendor."""
    return _number(word) or _one("vendor", word, api.get("/v1/vendors")["vendors"], ("name",))


def user_id(api: Asks, word: str) -> int:
    """Return the id of a user, who is named by id, name or e-mail address."""
    return _number(word) or _one("user", word, api.get("/v1/users")["users"], ("name", "email"))


def token_id(api: Asks, path: str, word: str) -> int:
    """Return the id of a token that is still valid."""
    valid = [token for token in api.get(path)["tokens"] if not token["revoked_at"]]
    return _number(word) or _one("token", word, valid, ("name",))


def schedule_id(api: Asks, word: str) -> int:
    """Return the id of a schedule. :param word: its id or its name."""
    return _number(word) or _one("schedule", word, api.get("/v1/schedules")["schedules"], ("label",))


def notification_id(api: Asks, word: str) -> int:
    """Return the id of a notification, called by id, name, URL or e-mail address."""
    found = api.get("/v1/notifications")["notifications"]
    return _number(word) or _one("notification", word, found, ("label", "target"))


def guideline_id(api: Asks, word: str) -> int:
    """Return the id of a guideline; of several with a name it is the newest official one."""
    found = api.get("/v1/guidelines")["guidelines"]
    named = [one for one in found if one["name"] == word or str(one["id"]) == word]
    if not named:
        raise NotFoundError(f"there is no guideline {word!r} ('refstack-queue guideline list' shows them)")
    return int(min(named, key=lambda one: (one["origin"] != "official", -one["id"]))["id"])


def _number(word: str) -> int:
    return int(word) if word.isascii() and word.isdigit() and len(word) < 10 else 0


def _one(kind: str, word: str, records: Iterable[Mapping[str, Any]], names: Sequence[str]) -> int:
    wanted = word.casefold()
    found = [one for one in records if any(str(one.get(name) or "").casefold() == wanted for name in names)]
    if not found:
        raise NotFoundError(f"there is no {kind} {word!r} ('refstack-queue {kind} list' shows them)")
    if len(found) > 1:
        ids = ", ".join(str(one["id"]) for one in found)
        raise UsageError(f"several {kind}s are called {word!r}; use the id: {ids}")
    return int(found[0]["id"])
