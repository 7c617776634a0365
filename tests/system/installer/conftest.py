"""The site, made once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support import installer_nodes as nodes


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Site]:
    if os.geteuid() != 0:
        pytest.skip("booting machines needs root")
    with nodes.site(tmp_path_factory.mktemp("installer-site")) as made:
        yield made
