"""Every test begins without secrets."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from refstack_worker.contract.secrets import Masker
from refstack_worker.execute_test.log import SECRETS


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the secrets of other tests."""
    monkeypatch.setattr(SECRETS, "_uses", {})
    monkeypatch.setattr(SECRETS, "masker", Masker(()))


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """Put the umask back, which a whole call of the program sets for its process."""
    umask = os.umask(0o022)
    os.umask(umask)
    yield
    os.umask(umask)
