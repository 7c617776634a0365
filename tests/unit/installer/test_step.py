"""What a step does unless it says otherwise."""

from __future__ import annotations

import pytest
from refstack_install.errors import VerifyError
from refstack_install.files import Record
from refstack_install.step import Change, Step

from tests.support.node_machine import NodeMachine


class Half(Step):
    """A step that never gets everything done."""

    name = title = "half"
    left: list[Change] = []

    def check(self) -> list[Change]:
        return self.left

    def apply(self) -> None:
        """Do nothing."""

    def undo(self, record: Record) -> None:
        """Do nothing."""


def test_nothing_may_be_left_to_change(machine: NodeMachine) -> None:
    step = Half(machine.context())
    step.verify()
    step.left = [Change("/etc/file", "", "new")]
    with pytest.raises(VerifyError, match="/etc/file: still 'missing', expected 'new'"):
        step.verify()


def test_records_are_kept_as_they_are(machine: NodeMachine) -> None:
    step = Half(machine.context())
    assert step.snapshot() == {}
    assert step.settle({"a": 1}) == {"a": 1}
    assert step.removal_record({"a": 1}, [{"b": 2}]) == {"a": 1}
