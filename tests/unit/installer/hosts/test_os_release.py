"""The distribution is read from os-release."""

from __future__ import annotations

from pathlib import Path

import pytest
from refstack_install.errors import PreflightError
from refstack_install.hosts import os_release
from refstack_install.system import System


def test_fields_and_their_defaults() -> None:
    release = os_release.parse('# comment\nID=rocky\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n')
    assert release == os_release.OsRelease("rocky", ("rhel", "centos", "fedora"), "9.4", "", "rocky")


def test_the_file_of_the_vendor_is_the_second_choice(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="/etc/os-release is missing"):
        os_release.read(System(tmp_path))
    (tmp_path / "usr" / "lib").mkdir(parents=True)
    (tmp_path / "usr" / "lib" / "os-release").write_text("ID=debian\n")
    assert os_release.read(System(tmp_path)).id == "debian"
