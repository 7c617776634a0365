"""Progress for people and for programs; the work goes on when its reader has gone."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from refstack_install.engine import Engine
from refstack_install.errors import StepError
from refstack_install.journal import Journal
from refstack_install.reporter import PersonReporter, Reporter
from refstack_install.steps import sequence
from refstack_install.system import System

from tests.support.node_machine import INSTALLER, NodeMachine

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from refstack_install.engine import Engine
from refstack_install.journal import Journal
from refstack_install.reporter import PersonReporter, Reporter
from refstack_install.step import Change, Step
from refstack_install.system import System

class Touch(Step):
    def __init__(self, system, name):
        self.system, self.name, self.title, self.file = system, name, name, system.path("/" + name)
    def check(self): return [] if self.file.exists() else [Change(self.name, "", "there\\n" * 5000)]
    def apply(self): self.file.touch()
    def undo(self, record): self.file.unlink(missing_ok=True)

system = System(Path(sys.argv[2]))
reporter = Reporter() if "--json" in sys.argv else PersonReporter()
engine = Engine([Touch(system, name) for name in ("one", "two", "three")], Journal(system), reporter)
if "plan" in sys.argv:
    engine.plan()
else:
    engine.apply()
reporter.finish("apply", 0, 1.0)
sys.exit(0)
"""


def run(root: Path, *words: str, stdout: int) -> tuple[int, str]:
    argv = [sys.executable, "-c", SCRIPT, str(INSTALLER), str(root), *words]
    done = subprocess.run(argv, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.fixture
def closed_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("words", [[], ["--json"]], ids=["for people", "for programs"])
def test_apply_ends_its_work_when_its_reader_has_gone(tmp_path: Path, closed_pipe: int, words: list[str]) -> None:
    status, error = run(tmp_path, "apply", *words, stdout=closed_pipe)
    assert status == 0
    assert error == "refstack-install: cannot write the output (Broken pipe); continuing without it\n"
    assert [(tmp_path / name).exists() for name in ("one", "two", "three")] == [True, True, True]
    assert Journal(System(tmp_path)).unfinished is None


def test_plan_ends_without_a_traceback(tmp_path: Path, closed_pipe: int) -> None:
    status, error = run(tmp_path, "plan", stdout=closed_pipe)
    assert (status, error.count("\n")) == (0, 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_behind_stdout_does_not_stop_the_work(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        status, error = run(tmp_path, "apply", stdout=full.fileno())
    assert status == 0
    assert "No space left on device" in error
    assert (tmp_path / "three").exists()


def test_a_program_gets_the_changes(machine: NodeMachine) -> None:
    context = machine.context()
    reporter = Reporter(io.StringIO())
    Engine(sequence.steps(context), Journal(context.system), reporter).apply()
    reporter.finish("apply", 0, 1.0)
    document = json.loads(_text(reporter))
    assert document["changed"] is True
    [packages] = [step for step in document["steps"] if step["name"] == "packages"]
    assert {"what": "refstack-worker", "before": "", "after": "installed"} in packages["changes"]


def test_a_person_sees_differences(machine: NodeMachine) -> None:
    context = machine.context()
    Engine(sequence.steps(context), Journal(context.system), Reporter(io.StringIO())).apply()
    context = machine.context(**{"node.slots": 3})
    person = PersonReporter(io.StringIO())
    Engine(sequence.steps(context), Journal(context.system), person).plan()
    assert "+slots = 3" in _text(person)


def test_an_error_is_part_of_the_document_and_goes_to_stderr_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    error = StepError("it failed", "the disk is full", "free space")
    program = Reporter(io.StringIO())
    program.finish("apply", 5, 1.0, error)
    assert json.loads(_text(program))["error"]["message"] == "it failed: the disk is full; free space"
    PersonReporter(io.StringIO()).finish("apply", 5, 1.0, error)
    assert capsys.readouterr().err == "refstack-install: it failed: the disk is full; free space\n"


def _text(reporter: Reporter) -> str:
    assert isinstance(reporter.out, io.StringIO)
    return reporter.out.getvalue()
