"""Every test begins without secrets."""

from __future__ import annotations

import pytest

from refstack_worker.contract.secrets import Masker
from refstack_worker.execute_test.log import SECRETS


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the secrets of other tests."""
    monkeypatch.setattr(SECRETS, "_uses", {})
    monkeypatch.setattr(SECRETS, "masker", Masker(()))
