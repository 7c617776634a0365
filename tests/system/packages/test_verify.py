"""``refstack-package verify``: what was published installs from the repository alone and lists its tests."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.machines import cache
from tests.support.tempests import package
from tests.system.packages.conftest import FIRST


def test_what_was_published_lists_its_tests(repository: Path) -> None:
    done = package("verify", "--repo", repository, "--suite", "bookworm", "--cache", cache(), FIRST, "-f", "json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["Suite"], row["Package"], row["Tests"]) == ("bookworm", f"refstack-tempest-{FIRST}", 1575)


def test_what_was_not_published_is_said(repository: Path, tmp_path: Path) -> None:
    done = package("verify", "--repo", repository, "--suite", "bookworm", "--cache", cache(), "1.0.0")
    assert done.returncode == 15 and "refstack-tempest-1.0.0" in done.stderr
    done = package("verify", "--repo", tmp_path, "--suite", "bookworm", FIRST)
    assert done.returncode == 15 and "nothing is published there" in done.stderr
