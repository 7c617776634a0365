"""Every failure has its own exit status, and the documentation lists it."""

from __future__ import annotations

import re

from refstack_install import errors
from refstack_install.errors import InstallError

from tests.support.node_machine import INSTALLER

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, InstallError)]


def test_exit_statuses_are_distinct_and_documented() -> None:
    page = (INSTALLER.parent / "docs" / "installer.md").read_text()
    documented = {int(status) for status in re.findall(r"^\| (\d+) \|", page, re.M)}
    statuses = [kind.exit_code for kind in KINDS if kind is not InstallError]
    assert len(set(statuses)) == len(statuses)
    assert documented == {errors.DONE, errors.PENDING, *statuses}


def test_a_message_is_one_line_of_what_why_and_what_to_do() -> None:
    assert str(InstallError("it failed", "no space", "free some")) == "it failed: no space; free some"
    assert str(InstallError("it failed", todo="try again")) == "it failed; try again"
    assert str(InstallError("it failed")) == "it failed"
