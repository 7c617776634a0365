"""What a build left in a folder is published whole, as ``dist/deb/*`` names it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from refstack_worker.builder.repository.uploads import files_of
from refstack_worker.errors import BuildError

NAMES = ("a_1.deb", "a_1.dsc", "a_1.tar.xz", "a_1_amd64.buildinfo")


@pytest.fixture
def changes(tmp_path: Path) -> Path:
    lines = ["Format: 1.8", "Checksums-Sha1:", " 00 1 other.deb", "Checksums-Sha256:"]
    for name in NAMES:
        (tmp_path / name).write_text(name)
        lines.append(f" {hashlib.sha256(name.encode()).hexdigest()} {len(name)} {name}")
    path = tmp_path / "a_1_amd64.changes"
    path.write_text("\n".join([*lines, "Files:", " 00 1 net optional third.deb", ""]))
    return path


def test_a_changes_file_stands_for_what_it_names(changes: Path) -> None:
    packages = [changes.with_name(name) for name in NAMES[:3]]
    assert files_of([changes]) == packages
    assert sorted(files_of(sorted(changes.parent.iterdir()))) == packages


def test_a_file_that_was_built_again_is_refused(changes: Path) -> None:
    changes.with_name("a_1.deb").write_text("other")
    with pytest.raises(BuildError, match=r"a_1\.deb: is not the file that a_1_amd64\.changes names"):
        files_of([changes])


def test_a_file_that_is_missing_is_named(changes: Path) -> None:
    changes.with_name("a_1.dsc").unlink()
    with pytest.raises(BuildError, match=r"a_1\.dsc: No such file"):
        files_of([changes])


def test_what_is_no_changes_file(tmp_path: Path) -> None:
    (tmp_path / "x.changes").write_text("words\n")
    with pytest.raises(BuildError, match="names no files"):
        files_of([tmp_path / "x.changes"])
