"""Real locks of real Tempest versions for the integration tests and the benchmarks, made once and kept in the cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from refstack_worker.environments.lock import set_name

TOP = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("REFSTACK_TEST_CACHE", Path.home() / ".cache" / "refstack-worker-tests"))

EXCLUDE_NEWER = "2026-11-20"
"""The index as it was then: the tests see the same wheels on every day."""

CONSTRAINTS = os.environ.get("REFSTACK_TEST_CONSTRAINTS", "")
"""Folder (or URL) with OpenStack's upper constraints, ``2025.1.txt`` and so on; they are not part of the project."""

RELEASES = {
    "24.0.0": "ussuri",
    "33.0.0": "zed",
    "34.0.0": "2023.1",
    "36.0.0": "2023.2",
    "39.0.0": "2024.1",
    "43.0.0": "2025.1",
    "45.0.0": "2025.2",
    "46.3.0": "2026.1",
    "47.0.0": "",
}
"""Tempest version to the OpenStack release whose constraints it is locked under."""


def package(*words: object) -> subprocess.CompletedProcess[str]:
    """Run ``refstack-package``."""
    argv = [sys.executable, "-m", "refstack_worker.cli.package.main", *(str(word) for word in words)]
    env = {**os.environ, "PYTHONPATH": str(TOP)}
    return subprocess.run(argv, capture_output=True, text=True, env=env, cwd=TOP, check=False)


def lock_words(version: str, python: str, plugins: tuple[str, ...] = ()) -> list[str]:
    """Return the arguments of ``refstack-package lock``; skips the test where constraints are needed and not given."""
    words = [version, "--python", python, "--exclude-newer", EXCLUDE_NEWER]
    release = RELEASES[version]
    if release:
        if not CONSTRAINTS:
            pytest.skip(f"Tempest {version} needs upper constraints: name their folder in REFSTACK_TEST_CONSTRAINTS")
        words += ["--constraints", f"{CONSTRAINTS}/{release}.txt"]
    for plugin in plugins:
        words += ["--with", plugin]
    return words


def locked(version: str, python: str = "3.11", plugins: tuple[str, ...] = ()) -> Path:
    """Return the folder of versions that holds a lock of ``version``, which is made when it is missing."""
    name = f"py{python.replace('.', '')}" if "/" not in python else Path(python).parent.parent.name
    parent = CACHE / "tempests" / "-".join([name, *plugins])
    words = [plugin.partition("==") for plugin in plugins]
    folder = parent / set_name(version, ((name, number) for name, _, number in words))
    if not list(folder.glob("pylock*")):
        done = package("lock", *lock_words(version, python, plugins), "--output", parent, "--cache", CACHE / "package")
        assert done.returncode == 0, done.stderr
    return parent
