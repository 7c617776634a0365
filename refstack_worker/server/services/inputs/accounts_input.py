"""A list of accounts for the tests, as users send it: the text of Tempest's accounts.yaml, or a list in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refstack_worker.contract import tempest_options
from refstack_worker.contract.accounts import MAX_ACCOUNTS, account_sections, read_accounts
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.schema import Json

MAX_TEXT = 256 * 1024
"""Characters of an accounts file."""
ACCOUNTS: Json = {
    "type": ["array", "string", "null"],
    "items": {"type": "object"},
    "maxItems": MAX_ACCOUNTS,
    "maxLength": MAX_TEXT,
    "description": "Accounts for the tests, encrypted: the text of Tempest's accounts.yaml, or the same list in JSON",
}


def accounts_of(body: Mapping[str, Any]) -> dict[str, dict[str, Any]] | None:
    """Return the accounts in a body as sections of options; None: the body says nothing of them.

    :raises InvalidInput: it is not a list of accounts.
    """
    given = body.get("accounts")
    if given is None:
        return None
    try:
        if isinstance(given, str):
            given = read_accounts(given) if given.strip() else []
        found = account_sections(given) if given else {}
    except ValueError as error:
        raise invalid("accounts", str(error)) from None
    for section, options in found.items():
        for option, value in options.items():
            if not _is_plain(value):
                rule = "must be a string, an integer, true or false, or a list of those"
                raise invalid("accounts", f"{section.replace('.', ' ')}: {option} {rule}")
    tempest_options.check(found)
    return found


def _is_plain(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return all(_is_text(item) if isinstance(item, str) else isinstance(item, int) for item in items)


def _is_text(text: str) -> bool:
    """Return whether a text can be written down: JSON may hold half of a character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
