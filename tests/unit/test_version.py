"""The version of the software is that of the installed distribution."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

import pytest

from refstack_worker.version import NOT_INSTALLED, software_version


@pytest.fixture(autouse=True)
def asked_again() -> Iterator[None]:
    software_version.cache_clear()
    yield
    software_version.cache_clear()


def test_the_installed_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", {"refstack-worker": "0.2.0.dev17"}.__getitem__)
    assert software_version() == "0.2.0.dev17"


def test_without_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert software_version() == NOT_INSTALLED
