"""The commands of ``docs/publishing.md`` work as they stand there, from the first key to the withdrawn package."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documented import Machine, script
from tests.support.machines import cache

TOOLS = ("gpg", "apt-ftparchive", "createrepo_c", "rpmbuild", "rpmsign", "unshare")

pytestmark = [
    pytest.mark.skipif(not os.environ.get("REFSTACK_TEST_FULL"), reason="tests/run full runs it: it locks a Tempest"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for an /srv of its own"),
]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    made = Machine(tmp_path)
    yield made
    subprocess.run(["gpgconf", "--homedir", tmp_path / "home/.gnupg", "--kill", "all"], check=False)


def test_the_whole_way(machine: Machine) -> None:
    done = machine.run(script("publishing.md", "publishing"), XDG_CACHE_HOME=str(cache() / "documented"))
    assert done.returncode == 0, done.stderr
    repository = machine.folder / "srv/packages"
    assert (repository / "apt/dists/stable/InRelease").read_text().startswith("-----BEGIN PGP SIGNED MESSAGE-----")
    assert "refstack-tempest-47.0.0" in done.stdout
    assert not list(repository.rglob("refstack-tempest-*.deb")), "the last command withdraws it"
    assert (repository / "refstack.sources").read_text().startswith("Types: deb\n")
