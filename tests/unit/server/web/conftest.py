"""Two vendors' users, an operator, and the browser of one of them."""

from __future__ import annotations

import pytest

from refstack_worker.server.ledger.ledger import Ledger
from tests.support.callers import Browser, Callers


@pytest.fixture
def callers(ledger: Ledger) -> Callers:
    return Callers(ledger)


@pytest.fixture
def browser(callers: Callers) -> Browser:
    return callers.ann.browser()
