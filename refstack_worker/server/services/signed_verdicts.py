"""Verdicts with the server's signature, which can be checked without the server."""

from __future__ import annotations

import json
from typing import Any

from refstack_worker.contract import keys, signed_verdict
from refstack_worker.errors import NotFoundError
from refstack_worker.server.domain.guidelines import Choice
from refstack_worker.server.ledger.ledger import Ledger


def signed(ledger: Ledger, test_id: int, choice: Choice | None = None) -> dict[str, Any]:
    """Return the signed verdict of a run.

    :param choice: another guideline or program than the run was made by.
    :raises NotFoundError: there is no result, or nothing to judge it by.
    """
    ledger.results.get(test_id)
    found = ledger.guidelines.verdict_facts(test_id, choice)
    if found is None:
        raise NotFoundError(
            f"run {test_id} was not started from a guideline; name one: "
            "?guideline=2020.06&program=… (refstack-queue run verdict: --guideline and --program)"
        )
    return signed_verdict.sign(found.document, keys.load_sign_private(ledger.settings.keys.sign))


def in_page(value: dict[str, Any]) -> str:
    """Return a signed verdict as JSON that can stand in a page's script element."""
    return json.dumps(value).replace("<", "\\u003c")
