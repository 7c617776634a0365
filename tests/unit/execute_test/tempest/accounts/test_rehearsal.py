"""What Tempest's own code says before a run; a program in its Python's place gives the answers."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.execute_test.failures import BadInput, CloudFailure
from refstack_worker.execute_test.log import SECRETS
from refstack_worker.execute_test.tempest.accounts import rehearsal
from refstack_worker.execute_test.tempest.accounts.rehearsal import Rehearsal, Rehearsed
from refstack_worker.execute_test.tempest.accounts.rehearsal_program import REHEARSAL_PROGRAM
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.workspace import Workspace

ANSWER: dict[str, Any] = {"login_error": "", "login_user": "", "endpoints": {}, "missing": {}, "skips": {},
                          "variants": []}  # fmt: skip
NEED = json.dumps(["primary"])


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "work")
    made.create()
    return made


def tempest(folder: Path, script: str) -> Tempest:
    """A Tempest whose Python is a shell script; what it is asked stays in ``asked``."""
    programs = folder / "bin"
    programs.mkdir()
    python = programs / "python"
    python.write_text(
        f'#!/bin/sh\ncat > {folder}/asked\necho "$TEMPEST_CONFIG_DIR/$TEMPEST_CONFIG" > {folder}/conf\n{script}\n'
    )
    python.chmod(0o755)
    return Tempest(programs / "tempest", "47.0.0", include_list=True, name_prefix=True)


def answering(folder: Path, **changes: Any) -> Tempest:
    folder.mkdir(exist_ok=True)
    (folder / "answer").write_text("a line beside it\n" + json.dumps({**ANSWER, **changes}))
    return tempest(folder, f"cat {folder}/answer")


def rehearse(tempest: Tempest, workspace: Workspace, *question: Any) -> Rehearsed:
    with Rehearsal.begun(tempest, workspace) as begun:
        return begun.ask(*question)


def test_what_is_asked_and_read(tmp_path: Path, workspace: Workspace) -> None:
    trial = {"lacking": {NEED: "none"}, "roles": {NEED: [["member"]]}, "processes": 2, "serial": [NEED], "cost": 0.5}
    made = answering(tmp_path, tests={"t.A.test": NEED}, skips={"t.A.test_2": ["bug", True]}, variants=[trial])
    rehearsed = rehearse(
        made, workspace, {"swift": "object-storage"}, ["t.A.test"], [[{"username": "u", "password": "p"}]], 4
    )
    assert rehearsed.needs == {"t.A.test": NEED} and rehearsed.skips == {"t.A.test_2": ("bug", True)}
    (read,) = rehearsed.trials
    assert (read.lacking, read.processes, read.serial, read.cost) == ({NEED: "none"}, 2, (NEED,), 0.5)
    asked = json.loads((tmp_path / "asked").read_text())
    assert asked["services"] == [["identity", "identity"], ["swift", "object-storage"]]
    assert asked["accounts"] == [{"username": "u", "password": "p"}] and asked["processes"] == 4
    assert (tmp_path / "conf").read_text().strip() == str(workspace.conf)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        (
            {"login_error": "NotFound: pw0rd-secret", "login_user": "ann"},
            CloudFailure,
            "cannot log in as ann: NotFound",
        ),
        ({"missing": {"identity": "EndpointNotFound"}}, CloudFailure, "check identity.v3_endpoint_type"),
        ({"config_error": "ValueError: x"}, BadInput, "cannot read its configuration: ValueError"),
    ],
)
def test_what_would_fail_each_test(
    tmp_path: Path, workspace: Workspace, changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    SECRETS.add("pw0rd-secret")
    with pytest.raises(kind, match=message) as raised:
        rehearse(answering(tmp_path, **changes), workspace, {})
    assert "pw0rd-secret" not in str(raised.value)


def test_a_service_that_tempest_does_not_find_stops_nothing(tmp_path: Path, workspace: Workspace) -> None:
    assert rehearse(answering(tmp_path, missing={"swift": "EndpointNotFound"}), workspace, {}).trials == ()


def test_a_tempest_that_is_too_different_stops_nothing(tmp_path: Path, workspace: Workspace) -> None:
    made = tempest(tmp_path, "echo 'ImportError: no such module' >&2; exit 1")
    assert rehearse(made, workspace, {}, ["t.A.test"]).trials == ()


def test_a_cloud_that_stays_silent(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "REHEARSAL_SECONDS", 0.5)
    with pytest.raises(CloudFailure, match="no token within"):
        rehearse(tempest(tmp_path, "sleep 600"), workspace, {})


def test_a_program_that_ended_before_it_was_asked_stops_nothing(tmp_path: Path, workspace: Workspace) -> None:
    made = tempest(tmp_path, "exit 1")
    (made.program.with_name("python")).write_text("#!/bin/sh\nexit 1\n")
    with Rehearsal.begun(made, workspace) as begun:
        begun.program.wait()
        assert begun.ask({}, ["t.A.test" * 100_000]).trials == ()


def test_nothing_is_left_of_a_program_that_is_never_asked(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="the cloud"), Rehearsal.begun(tempest(tmp_path, ""), workspace) as begun:
        raise ValueError("the cloud does not answer")
    assert begun.program.returncode is not None


def test_a_login_that_is_not_waited_for(tmp_path: Path, workspace: Workspace) -> None:
    with Rehearsal.begun(answering(tmp_path), workspace) as begun:
        begun.begin_login({"swift": "object-storage"})
        begun.end_login()
    asked = json.loads((tmp_path / "asked").read_text())
    assert asked["services"] == [["identity", "identity"], ["swift", "object-storage"]]
    refused = answering(tmp_path / "other", login_error="Unauthorized")
    with Rehearsal.begun(refused, workspace) as begun:
        begun.begin_login({})
        with pytest.raises(CloudFailure, match="Unauthorized"):
            begun.end_login()


def test_nothing_is_left_of_a_program_that_has_answered_while_the_run_goes_on(
    tmp_path: Path, workspace: Workspace
) -> None:
    (tmp_path / "answer").write_text(json.dumps(ANSWER))
    made = tempest(tmp_path, f"sleep 600 >&- 2>&- &\ncat {tmp_path}/answer")
    with Rehearsal.begun(made, workspace) as begun:
        begun.begin_login({})
        begun.end_login()
        with pytest.raises(ProcessLookupError):
            os.killpg(begun.program.pid, 0)


def test_the_program_is_python_of_every_version() -> None:
    ast.parse(REHEARSAL_PROGRAM, feature_version=(3, 6))
