"""What a Tempest can do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from refstack_worker.execute_test.tempest import installation
from refstack_worker.execute_test.tempest.installation import Tempest


def test_options_that_tempest_does_not_know_are_named_with_what_was_meant() -> None:
    names = frozenset({"auth", "admin_password", "identity", "uri_v3", "identity-feature-enabled", "api_v3"})
    tempest = Tempest(Path("tempest"), "47.0.0", True, True, names)
    conf = {
        "auth": {"admin_pasword": "x", "admin_password": "x"},
        "identity": {"uri_v3": "http://c", "uri-v3": "http://c", "zzzzzz": 1},
        "identity-feature-enabled": {"api_v3": True},
        "a_plugins_own": {"whatever": 1},
        "DEFAULT": {"debug": True},
    }
    assert tempest.unknown_options(conf) == ["[auth] admin_pasword (did you mean admin_password?)", "[identity] zzzzzz"]


@pytest.mark.parametrize(
    ("line", "is_late"),
    [("CONF.set_config_path(path)", True), ("CONF.set_config_path(path); CONF.auth.admin_username", False)],
)
def test_whether_tempest_run_reads_its_configuration_itself(tmp_path: Path, line: str, is_late: bool) -> None:
    commands = tmp_path / "tempest" / "cmd"
    commands.mkdir(parents=True)
    (commands.parent / "__init__.py").touch()
    (commands / "run.py").write_text(f"CONF = config.CONF\n{line}\n")
    words = [sys.executable, "-c", installation._INSPECT]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, check=True)
    assert json.loads(done.stdout)["reads_conf_late"] is is_late
