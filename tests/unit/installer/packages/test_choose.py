"""Each distribution has its package manager."""

from __future__ import annotations

import pytest
from refstack_install.errors import PreflightError
from refstack_install.hosts.os_release import parse
from refstack_install.packages.choose import choose
from refstack_install.system import System


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ID=debian\n", "apt"),
        ("ID=ubuntu\nID_LIKE=debian\n", "apt"),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'\n", "apt"),
        ("ID=fedora\n", "dnf"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "zypper"),
    ],
)
def test_distributions_and_their_derivatives(text: str, name: str) -> None:
    assert choose(System(), parse(text), 0).name == name


def test_others_are_not_supported() -> None:
    with pytest.raises(PreflightError, match="Arch Linux is not supported"):
        choose(System(), parse('ID=arch\nPRETTY_NAME="Arch Linux"\n'), 0)
