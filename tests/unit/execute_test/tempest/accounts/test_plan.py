"""The groups of tests that accounts demand."""

from __future__ import annotations

import re

from refstack_worker.execute_test.tempest.accounts.plan import AccountPlan, can_be_grouped
from refstack_worker.execute_test.tempest.stestr_files import BY_CLASS


def test_without_limits_each_class_is_a_group() -> None:
    assert AccountPlan().group == BY_CLASS


def test_classes_with_rare_accounts_are_one_group() -> None:
    plan = AccountPlan(serial_classes=("tempest.api.A", "tempest.api.deep.B"))

    def group(test: str) -> str:
        match = re.match(plan.group, test)
        assert match
        return match.group(0)

    assert group("tempest.api.A.test_1[id-1.2]") == group("tempest.api.deep.B.test_2") == "tempest."
    assert group("tempest.api.AA.test_3") == "tempest.api.AA."
    assert group("tempest.api.C.test_4") == "tempest.api.C."


def test_what_can_be_grouped() -> None:
    assert can_be_grouped(["tempest.a.A", "tempest.b.B"])
    assert not can_be_grouped(["tempest.a.A", "plugin.b.B"])
