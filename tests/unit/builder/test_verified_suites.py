"""``verify`` tries a version on the Debian releases for whose Python there is a lock, and names the others."""

from __future__ import annotations

import argparse
import logging
import subprocess
from pathlib import Path

import pytest

from refstack_worker.builder import verify
from refstack_worker.builder.repository.repository import Repository
from refstack_worker.cli.package import commands
from refstack_worker.errors import BuildError

CONTROL = """Package: refstack-tempest-{version}
Version: {version}-1
Architecture: all
Maintainer: tests <tests@example.invalid>
Description: stands in for the package of that name
Refstack-Interpreters: {interpreters}
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Two versions, one of them for Debian 12 alone; clean roots are not made."""
    made = Repository(tmp_path / "repository")
    for version, interpreters in (("43.0.0", "cpython-3.11"), ("47.0.0", "cpython-3.11, cpython-3.13")):
        tree = tmp_path / version
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(CONTROL.format(version=version, interpreters=interpreters))
        name = f"refstack-tempest-{version}"
        (made.pool / "r" / name).mkdir(parents=True)
        file = made.pool / "r" / name / f"{name}_{version}-1_all.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, file], check=True, capture_output=True)
    monkeypatch.setattr(verify, "verify", lambda _, suite, names, __: [(suite, name, 1575, 1.0) for name in names])
    return made


def verified(repository: Repository, *versions: str, suite: list[str] | None = None) -> list[tuple[str, str]]:
    rows = commands._verified(repository, versions, argparse.Namespace(suite=suite, cache=Path()))
    return [row[:2] for row in rows]


def test_a_release_without_a_lock_for_its_python_is_left_out_and_named(
    repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        rows = verified(repository, "43.0.0", "47.0.0")
    assert rows == [("bookworm", "43.0.0"), ("bookworm", "47.0.0"), ("trixie", "47.0.0")]
    assert "trixie: Tempest 43.0.0 has no lock for its Python 3.13: not verified" in caplog.text


def test_a_release_that_is_asked_for_is_tried(repository: Repository) -> None:
    assert verified(repository, "43.0.0", suite=["trixie"]) == [("trixie", "43.0.0")]


def test_a_version_that_fits_no_release_is_an_error(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PYTHONS", {"trixie": "3.13"})
    with pytest.raises(BuildError, match=r"43\.0\.0: no Debian release of trixie has their Python"):
        verified(repository, "43.0.0")
