"""The steps in their order, and their documentation."""

from __future__ import annotations

import re

import pytest
from refstack_install.errors import PreflightError
from refstack_install.steps import sequence

from tests.support.node_machine import INSTALLER, NodeMachine


def test_the_documentation_lists_the_steps_in_their_order(machine: NodeMachine) -> None:
    page = (INSTALLER.parent / "docs" / "installer.md").read_text()
    table = page[page.index("## Steps") : page.index("## Answers")]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == [step.name for step in sequence.steps(machine.context())]


def test_an_unsupported_distribution(machine: NodeMachine) -> None:
    machine.write("etc/os-release", "ID=arch\n")
    with pytest.raises(PreflightError, match="arch is not supported"):
        sequence.steps(machine.context())
