"""What the integration tests of the environments share."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments.catalogue import Catalogue, Want
from refstack_worker.filesystem import remove_tree
from tests.support.tempests import CACHE, locked


@pytest.fixture
def open_tmp():
    """A temporary folder that other users may pass, which pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="refstack-test-"))
    folder.chmod(0o755)
    yield folder
    remove_tree(folder)


@pytest.fixture(scope="session")
def real_store():
    """A store for real Tempests that the tests share and keep; what changes it uses one of its own."""
    return CACHE / "tests-store"


@pytest.fixture
def build_settings(real_store):
    """Make settings for a real Tempest version, and its offer."""

    def build(version: str, python: str = "3.11", plugins: tuple[str, ...] = (), store: Path = real_store):
        parent = locked(version, python, plugins)
        extra = (Path(python),) if "/" in python else ()
        settings = EnvironmentSettings(store, (parent,), interpreters=extra)
        wanted = dict(plugin.split("==") for plugin in plugins)
        return settings, Catalogue(settings).find(Want(version=version, plugins=wanted))

    return build


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting is not permitted on this machine")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
