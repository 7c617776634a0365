"""What was typed outlives the session, another tab and an error; where it does not, no page claims it."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Clock
from tests.support.vendor_pages import HERE, Vendor

KEPT = "your entries are kept, except for passwords and files"


@pytest.fixture
def vendor(ledger: Ledger, clock: Clock) -> Vendor:
    return Vendor(ledger, clock)


@pytest.fixture
def operator(ledger: Ledger, vendor: Vendor) -> Vendor:
    vendor.token = ledger.tokens.add("op", ["operator"], None)[1]
    vendor.sign_in()
    return vendor


def expired(vendor: Vendor, path: str, **form: Any) -> Any:
    """Send a form after the session's end. Return the page that asks to sign in."""
    key = vendor.key()
    vendor.forget_session()
    answer = vendor.client.post(path, data={"form_key": key, **form}, headers=HERE)
    assert answer.status_code == 401 and "Your session has expired" in answer.text
    return answer


def sign_in_there(vendor: Vendor, page: str) -> Any:
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page))
    return vendor.sign_in(**{name: html.unescape(value) for name, value in hidden.items()})


def checked(page: str) -> list[str]:
    return re.findall('type="checkbox" name="[a-z]+" value="([a-z._]+)" checked', page)
