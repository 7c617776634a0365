"""What the integration tests share: a real cloud, a real lock of Tempest, and the set-ups of the whole."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import processes
from tests.support.postgresql import Cluster, postgresql, postgresql_url

sys.path.append(str(processes.TOP / "installer"))

from democloud.cloud import Cloud  # noqa: E402 - the demo's cloud lies outside the package

__all__ = ["postgresql", "postgresql_url"]

TEMPEST = "47.0.0"
KINDS = ("production", "embedded")
LONGEST = ("test_run_end_to_end.py", "test_shards_end_to_end.py", "test_news_end_to_end.py", "test_leftovers.py")
"""Modules that take minutes, mostly waiting."""
ON_PRODUCTION = ("test_run_end_to_end.py", "test_shards_end_to_end.py", "test_news_end_to_end.py")
"""Modules that every change has to pass on gearmand and PostgreSQL; 'tests/run full', and a module that is named on the
command line, have both kinds."""
EMBEDDED_TOO = (
    "test_run_passes_and_its_password_is_found_nowhere",
    "test_killed_worker_the_run_finishes_as_attempt_2_and_counts_once",
    "test_cancel_in_the_middle_ends_state_and_processes_within_five_seconds",
)
"""Tests in them that every change has to pass on the embedded queue and SQLite as well. What else differs between the
kinds is tested with the ledger's own tests, and in ``queue/``."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest modules: each is one process's, which at the end would be alone with it."""
    if not os.environ.get("REFSTACK_TEST_FULL") and config.args == ["tests/integration"]:
        left_out = [item for item in items if not is_for_every_change(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def is_for_every_change(item: pytest.Item) -> bool:
    name, _, kind = item.name.partition("[")
    return item.path.name not in ON_PRODUCTION or not kind.startswith("embedded") or name in EMBEDDED_TOO


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A Keystone and a Swift."""
    with Cloud(tmp_path_factory.mktemp("cloud") / "cloud") as running:
        yield running


@pytest.fixture(scope="session")
def locks() -> Path:
    """A folder with the lock and the wheels of one Tempest version."""
    return make_locks()


def make_locks() -> Path:
    """Return such a folder, made once and kept in the cache of the tests."""
    folder = processes.CACHE / "locks"
    if not list((folder / TEMPEST).glob("pylock.*.toml")):
        folder.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-m", "refstack_worker.cli.package.main", "lock", TEMPEST, "--output", str(folder)]
        subprocess.run(words, check=True, cwd=processes.TOP)
    return folder


@pytest.fixture(params=KINDS, scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Site]:
    """A set-up without workers that the tests of a module share."""
    with _site(request, tmp_path_factory, getattr(request.module, "SITE", {})) as made:
        yield made


@pytest.fixture(params=KINDS)
def own_site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Site]:
    """A set-up without workers for a test that breaks it."""
    with _site(request, tmp_path_factory, getattr(request.module, "SITE", {})) as made:
        yield made


def _site(request: pytest.FixtureRequest, folders: pytest.TempPathFactory, more: dict[str, Any]) -> Any:
    url = ""
    if request.param == "production":
        cluster: Cluster = request.getfixturevalue("postgresql")
        url = cluster.new_database()
    return processes.site(request.param, folders.mktemp(request.param) / "site", url, **more)
