"""What Tempest reads of the limits that accounts set."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from refstack_worker.execute_test.tempest.accounts.plan import AccountPlan, can_be_grouped
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.workspace import Workspace

TEMPEST = Tempest(Path("/t/bin/tempest"), "47.0.0", include_list=True, name_prefix=True, package="/t/lib/tempest")


def prepared(plan: AccountPlan, folder: Path) -> Workspace:
    workspace = Workspace(folder)
    workspace.create()
    plan.prepare(TEMPEST, workspace)
    return workspace


def test_without_limits_nothing_is_written(tmp_path: Path) -> None:
    workspace = prepared(AccountPlan(), tmp_path)
    assert not (workspace.scratch / "run" / ".stestr.conf").exists()


def test_classes_with_rare_accounts_are_one_group(tmp_path: Path) -> None:
    workspace = prepared(AccountPlan(serial_classes=("tempest.api.A", "tempest.api.deep.B")), tmp_path)
    parser = configparser.ConfigParser()
    parser.read(workspace.scratch / "run" / ".stestr.conf")
    conf = parser["DEFAULT"]
    assert (conf["test_path"], conf["top_dir"]) == ("/t/lib/tempest/test_discover", "/t/lib/tempest")

    def group(test: str) -> str:
        match = re.match(conf["group_regex"], test)
        assert match
        return match.group(0)

    assert group("tempest.api.A.test_1[id-1.2]") == group("tempest.api.deep.B.test_2") == "tempest."
    assert group("tempest.api.AA.test_3") == "tempest.api.AA."
    assert group("tempest.api.C.test_4") == "tempest.api.C."


def test_what_can_be_grouped() -> None:
    assert can_be_grouped(["tempest.a.A", "tempest.b.B"])
    assert not can_be_grouped(["tempest.a.A", "plugin.b.B"])
