"""What the tests of security share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.worker.conftest import gearmand, node, server
from tests.support.certificate_authority import Authority

__all__ = ["gearmand", "node", "server"]


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that everybody here trusts."""
    return Authority.create(tmp_path_factory.mktemp("ours") / "ca")


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no program here trusts."""
    return Authority.create(tmp_path_factory.mktemp("strangers") / "ca")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "tls"
    folder.mkdir()
    return folder
