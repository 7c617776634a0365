"""``installer/demo``: the main job with one command, on this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

from tests.system.execute_test.conftest import CloudError, cache_folder
from tests.system.execute_test.test_runs import below

DEMO = Path(__file__).resolve().parents[2] / "installer" / "demo"


def demo(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(DEMO), "--cache", str(cache_folder()), "--folder", str(folder), *words]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=900)


def test_quick_run_finishes_and_nothing_stays_up(tmp_path: Path) -> None:
    done = demo(tmp_path / "demo", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"passed +\| 12 ", done.stdout)
    assert "the run ended as finished" in done.stdout
    deadline = time.monotonic() + 5
    while below(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert below(tmp_path) == []
    # the cloud with its passwords is gone, the result is there
    assert not (tmp_path / "demo" / "cloud").exists() and not (tmp_path / "demo" / "conf.json").exists()
    assert (tmp_path / "demo" / "queue").is_dir()


def test_tests_of_a_guideline_are_run_by_id(tmp_path: Path) -> None:
    test = {"idempotent_id": "id-6f8e4436-fc96-4282-8122-e41df57197a9"}
    guideline = {
        "components": {"some_component": {"capabilities": {"required": ["tokens"], "advisory": ["more"]}}},
        "capabilities": {"tokens": {"tests": {"an.older.name.of.it": test}}, "more": {"tests": {"x": {}}}},
    }
    (tmp_path / "guideline.json").write_text(json.dumps(guideline))
    words = ("--guideline", str(tmp_path / "guideline.json"), "--component")
    done = demo(tmp_path / "demo", *words, "some_component")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"passed +\| 1 ", done.stdout)
    refused = demo(tmp_path / "other", *words, "another")
    assert refused.returncode == CloudError.exit_code and "some_component" in refused.stderr


def test_program_of_a_guideline_gets_its_verdict(tmp_path: Path) -> None:
    test = {"idempotent_id": "id-6f8e4436-fc96-4282-8122-e41df57197a9"}
    guideline = {
        "metadata": {"id": "2020.06", "schema": "2.0"},
        "platforms": {"OpenStack Powered Storage": {"components": ["os_powered_storage"]}},
        "components": {"os_powered_storage": {"capabilities": {"required": ["tokens"]}}},
        "capabilities": {"tokens": {"name": "tokens", "status": "required", "tests": {"an.older.name": test}}},
    }
    (tmp_path / "guideline.json").write_text(json.dumps(guideline))
    words = ("--guideline", str(tmp_path / "guideline.json"), "--program")
    done = demo(tmp_path / "demo", *words, "storage")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 required tests passed" in done.stdout
    refused = demo(tmp_path / "other", *words, "platform")
    assert refused.returncode == CloudError.exit_code and "has no program platform" in refused.stderr
