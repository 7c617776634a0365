from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import processes
from tests.integration.postgresql import postgresql, postgresql_url

__all__ = ["postgresql", "postgresql_url"]


@pytest.fixture(params=["production", "embedded"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[processes.Site]:
    url = request.getfixturevalue("postgresql_url") if request.param == "production" else ""
    with processes.site(request.param, tmp_path / "site", url) as made:
        yield made
