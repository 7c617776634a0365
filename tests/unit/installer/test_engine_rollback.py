"""Every step fails as it does in practice: the message helps, the step is undone, and the next apply completes."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from refstack_install import files
from refstack_install.engine import Engine
from refstack_install.errors import InstallError, PreflightError, StepError, UndoError
from refstack_install.journal import Journal
from refstack_install.reporter import Reporter
from refstack_install.steps import sequence
from refstack_install.system import Completed

from tests.support.node_machine import INSTALLER, KEY, NodeMachine


def failing(error: str, status: int = 100) -> Completed:
    return Completed(("program",), status, "", error)


@dataclass(frozen=True)
class Fault:
    """A fault and the message that it must give."""

    step: str
    pattern: str
    """Pattern of the command lines that fail."""
    output: str
    says: str
    exit_code: int = 5


FAULTS = {
    "repository unreachable": Fault("repository", "apt-get .*update", "E: Failed to fetch http://x Connection refused",
                                    "cannot be reached; check repository.url"),
    "repository without a release": Fault("repository", "apt-get .*update",
                                          "E: The repository 'x' does not have a Release file.", "cannot be reached"),
    "wrong key": Fault("repository", "apt-get .*update", "W: GPG error: x InRelease: NO_PUBKEY 0123456789ABCDEF",
                       "not signed with the expected key; check repository.key"),
    "apt lock held": Fault("packages", "apt-get .*install",
                           "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 42 (apt)",
                           "another package manager is running; wait"),
    "disk full while installing": Fault("packages", "apt-get .*install", "dpkg: error: No space left on device",
                                        "free space"),
    "disk full before installing": Fault("packages", "apt-get .*install",
                                         "E: You don't have enough free space in /var/cache/apt/archives/.",
                                         "free space"),
    "no such Tempest version": Fault("tempest", "apt-get .*install .*tempest",
                                     "E: Unable to locate package refstack-tempest-47.0.0",
                                     "the repository does not have this package; check .*tempest.versions"),
    "environment does not build": Fault("warm", "systemctl start refstack-env-warm", "Job failed",
                                        "fill the environment store: the unit's last words; see 'refstack-worker"),
    "units are not there": Fault("unit", "systemctl enable", "Unit file refstack-run.socket does not exist.",
                                 "does not exist"),
    "worker does not start": Fault("unit", "systemctl start refstack-worker", "Job failed",
                                   "does not start: the unit's last words; .*doctor"),
}  # fmt: skip


def engine(machine: NodeMachine) -> Engine:
    context = machine.context()
    return Engine(sequence.steps(context), Journal(context.system), Reporter(io.StringIO()))


def picture(machine: NodeMachine) -> tuple[dict[str, bytes], dict[str, str], dict[str, list[bool]]]:
    kept = {name: data for name, data in machine.files().items() if not name.startswith("var/lib/refstack-install")}
    return kept, dict(machine.packages), {name: list(state) for name, state in machine.units.items()}


def up_to(machine: NodeMachine, step: str) -> Engine:
    """Return an engine with the steps before this one."""
    whole = engine(machine)
    names = [each.name for each in whole.steps]
    return Engine(whole.steps[: names.index(step)], whole.journal, whole.reporter)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_step_that_fails_is_undone_and_a_rerun_completes(machine: NodeMachine, fault: Fault) -> None:
    up_to(machine, fault.step).apply()
    before = picture(machine)
    machine.faults = {fault.pattern: failing(fault.output)}
    with pytest.raises(StepError, match=fault.says) as caught:
        engine(machine).apply()
    assert caught.value.exit_code == fault.exit_code
    assert picture(machine) == before
    machine.faults = {}
    engine(machine).apply()
    assert not engine(machine).plan()


def test_gearmand_refuses(machine: NodeMachine) -> None:
    before = picture(machine)
    good = machine.gearmand
    machine.gearmand = "127.0.0.1:1"
    with pytest.raises(PreflightError, match=r"gearmand at 127.0.0.1:1 does not answer.*start it") as caught:
        engine(machine).apply()
    assert caught.value.exit_code == 4
    assert picture(machine) == before
    machine.gearmand = good
    engine(machine).apply()


def test_all_problems_are_reported_at_once(machine: NodeMachine) -> None:
    machine.gearmand = "127.0.0.1:1"
    (machine.root.parent / "inputs" / "fleet.key").write_text("nonsense\n")
    with pytest.raises(PreflightError, match="2 problems.*keys.fleet.*gearmand"):
        engine(machine).apply()


def test_another_key_than_the_fingerprint_says(machine: NodeMachine) -> None:
    context = machine.context(**{"repository.fingerprint": "0" * 40})
    wrong = Engine(sequence.steps(context), Journal(context.system), Reporter(io.StringIO()))
    with pytest.raises(InstallError, match="not 0000") as caught:
        wrong.apply()
    assert caught.value.exit_code == 3


def test_a_damaged_key(machine: NodeMachine) -> None:
    (machine.root.parent / "inputs" / "key.asc").write_text(KEY.replace("mDME", "!!!!"))
    with pytest.raises(InstallError, match="repository.key is damaged; fetch"):
        engine(machine).apply()


@pytest.mark.parametrize("step", ["configuration", "keys"])
def test_a_full_disk_under_a_file(machine: NodeMachine, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    up_to(machine, step).apply()
    before = picture(machine)
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", raise_full)
        with pytest.raises((StepError, UndoError), match="No space left on device; free space"):
            engine(machine).apply()
    engine(machine)._undo_interrupted()
    assert picture(machine) == before
    engine(machine).apply()


def raise_full(descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_worker_that_never_registers(machine: NodeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refstack_install.steps.registration.WAIT_SECONDS", 0.2)
    monkeypatch.setattr(machine, "follow", lambda runs: None)
    with pytest.raises(StepError, match="refstack:tempest:47.0.0.*not registered.*last words; see .*doctor"):
        engine(machine).apply()
    monkeypatch.undo()
    machine.units["refstack-worker.service"][1] = False
    engine(machine).apply()
    assert not engine(machine).plan()


KILLED_AT: dict[str, Callable[[NodeMachine], str]] = {
    "repository": lambda machine: "apt-get .*update",
    "packages": lambda machine: "apt-get .*install .*refstack-worker",
    "tempest": lambda machine: "apt-get .*install .*tempest",
    "warm": lambda machine: "systemctl start refstack-env-warm",
    "unit": lambda machine: "systemctl start refstack-worker",
}


class Killed(BaseException):
    """Stands in for SIGKILL: the engine does not catch it."""


@pytest.mark.parametrize("step", KILLED_AT)
@pytest.mark.parametrize("after", [False, True], ids=["before its work", "after its work"])
def test_killed_in_a_step(machine: NodeMachine, step: str, after: bool) -> None:
    up_to(machine, step).apply()
    before = picture(machine)
    killed = engine(machine)
    run, pattern = machine.run, KILLED_AT[step](machine)

    def dying(argv: list[str], extra: dict[str, str], timeout: float | None) -> Completed:
        hit = re.search(pattern, " ".join(argv))
        if hit and not after:
            raise Killed
        done = run(argv, extra, timeout)
        if hit:
            raise Killed
        return done

    for each in killed.steps:
        object.__setattr__(each.system, "run_with", dying)
    with pytest.raises(Killed):
        killed.apply()
    resumed = engine(machine)
    assert resumed.plan(), "an interrupted step has to be undone"
    with resumed.journal.locked():
        resumed._undo_interrupted()
    assert picture(machine) == before
    engine(machine).apply()
    assert not engine(machine).plan()


SCRIPT = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from refstack_install import files
from refstack_install.engine import Engine
from refstack_install.journal import Journal
from refstack_install.reporter import Reporter
from refstack_install.step import Change, Step
from refstack_install.steps import sequence
from refstack_install.system import System

class Half(Step):
    name, title = "half", "half"
    def __init__(self, system): self.system, self.file = system, system.path("/etc/half")
    def check(self): return [] if files.read(self.file) == b"whole" else [Change("half", "", "whole")]
    def apply(self):
        self.file.write_bytes(b"ha")
        if os.environ.get("DIE"): os.kill(os.getpid(), getattr(signal, os.environ["DIE"]))
        self.file.write_bytes(b"whole")
    def snapshot(self): return files.snapshot(self.file)
    def undo(self, record): files.restore(record)

for each in (signal.SIGTERM, signal.SIGINT):  # SIGINT may be ignored where tests run in the background
    signal.signal(each, signal.default_int_handler)
system = System(Path(sys.argv[2]))
Engine([Half(system)], Journal(system), Reporter()).apply()
"""


@pytest.mark.parametrize(("signame", "left"), [("SIGKILL", b"ha"), ("SIGTERM", b"old"), ("SIGINT", b"old")])
def test_a_real_process_really_killed(tmp_path: Path, signame: str, left: bytes) -> None:
    (tmp_path / "etc").mkdir()
    half = tmp_path / "etc" / "half"
    half.write_bytes(b"old")
    installer = str(INSTALLER)
    argv = [sys.executable, "-c", SCRIPT, installer, str(tmp_path)]
    ended = subprocess.run(argv, env={**os.environ, "DIE": signame}, capture_output=True)
    assert ended.returncode == -signal.SIGKILL if signame == "SIGKILL" else ended.returncode != 0
    assert half.read_bytes() == left
    subprocess.run(argv, check=True, capture_output=True)
    assert half.read_bytes() == b"whole"


def test_a_step_that_cannot_be_undone_says_so(machine: NodeMachine) -> None:
    up_to(machine, "packages").apply()
    machine.faults = {
        "apt-get .*install": failing("E: something broke"),
        "dpkg --audit": Completed(("dpkg",), 0, "half installed: refstack-worker", ""),
        "dpkg --configure": failing("dpkg: error: database is damaged"),
    }
    with pytest.raises(UndoError, match="undoing the step failed too.*database is damaged") as caught:
        engine(machine).apply()
    assert caught.value.exit_code == 6
    machine.faults = {}
    engine(machine).apply()
    assert not engine(machine).plan()
