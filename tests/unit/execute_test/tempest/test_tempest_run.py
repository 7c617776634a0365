"""A run and the list of its tests, with a program in Tempest's place."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker.contract.cloud_needs import Gap, Need
from refstack_worker.execute_test.failures import BadInput, CloudFailure
from refstack_worker.execute_test.progress import EventWriter
from refstack_worker.execute_test.tempest import tempest_run
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.listing import TestFacts
from refstack_worker.execute_test.tempest.selection import Selection
from refstack_worker.execute_test.tempest.tempest_run import TempestRun
from refstack_worker.execute_test.tempest.verdict import judge
from refstack_worker.execute_test.tempest.waiting_run import WaitingRun
from refstack_worker.execute_test.tempest.workspace import Workspace
from tests.support.processes import eventually
from tests.unit.execute_test.tempest.streams import attachments

TEMPEST = """\
#!{python}
import os, sys, time
asked_for = sys.argv[sys.argv.index("--include-list") + 1]
if "--list-tests" in sys.argv:
    open("{marker}", "w").close()
    sys.exit(0)
before = os.stat(asked_for)
while not os.path.exists("{marker}"):
    time.sleep(0.02)
after = os.stat(asked_for)
same = (before.st_ino, before.st_mtime_ns, before.st_size) == (after.st_ino, after.st_mtime_ns, after.st_size)
sys.exit(0 if same else 9)
"""


def a_run(program: Path, folder: Path) -> TempestRun:
    workspace = Workspace(folder)
    workspace.create()
    tempest = Tempest(program, "47.0.0", include_list=True, name_prefix=True)
    selection = Selection(("tempest.api.a", "tempest.api.b"))
    return TempestRun(tempest, workspace, selection, 1, EventWriter(True, io.StringIO()))


def test_list_does_not_write_again_what_the_run_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempest_run, "LIST_AFTER_START_SECONDS", 1.0)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    (folder / "stestr").symlink_to("/bin/true")
    program = folder / "tempest"
    program.write_text(TEMPEST.format(python=sys.executable, marker=tmp_path / "listed"))
    program.chmod(0o755)
    run = a_run(program, tmp_path / "work")
    run.carry_out()
    assert (run.status, run.list_status) == (0, 0)


LISTED = ["m.IpV6Test.test_a[id-{0}]", "m.Test.test_a[id-{0}]", "m.Other.test_b[id-{1}]", "n.Test.test_c"]
BY_NAME = """\
#!{python}
import re, sys
with open(sys.argv[sys.argv.index("--include-list") + 1]) as file:
    wanted = [line for line in file.read().split("\\n") if line]
found = [name for name in {listed!r} if not wanted or any(re.search(one, name) for one in wanted)]
if "--list-tests" in sys.argv:
    print("\\n".join(found))
    sys.exit(0)
from subunit import StreamResultToBytes
out = StreamResultToBytes(sys.stdout.buffer)
for name in found:
    out.status(test_id=name, test_status="inprogress")
    out.status(test_id=name, test_status="success")
"""
KNOWN = """\
#!{python}
import sys
if "--list-tests" in sys.argv or "--include-list" in sys.argv:
    sys.exit("nobody has to ask")
from subunit import StreamResultToBytes
out = StreamResultToBytes(sys.stdout.buffer)
with open(sys.argv[sys.argv.index("--load-list") + 1]) as file:
    for name in file.read().split():
        out.status(test_id=name, test_status="inprogress")
        out.status(test_id=name, test_status="success")
"""
ONE, TWO = "a22ef352-a342-4587-8f47-3bbdb5b039c4", "b22ef352-a342-4587-8f47-3bbdb5b039c4"


@pytest.mark.parametrize(
    ("entries", "ran"),
    [
        ((f"m.Test.test_a[id-{ONE}]", "n.Test"), ["m.Test.test_a", "n.Test.test_c"]),
        ((f"old.Test.test_a[id-{ONE}]",), ["m.Test.test_a"]),
        ((f"m.Other.test_b[id-{ONE}]",), ["m.Other.test_b"]),
        ((f"id-{ONE}",), ["m.IpV6Test.test_a", "m.Test.test_a"]),
    ],
)
def test_tests_are_chosen_by_name_first(tmp_path: Path, entries: tuple[str, ...], ran: list[str]) -> None:
    pytest.importorskip("subunit")
    run = a_run(program_of(tmp_path), tmp_path / "work")
    run.selection = Selection(entries)
    run.carry_out()
    assert sorted(name.partition("[")[0] for name in run.counter.ended) == sorted(ran)
    assert (run.counter.counts.total, run.counter.counts.passed) == (len(ran), len(ran))


@pytest.mark.parametrize(
    ("entries", "ran"),
    [
        ((f"m.Test.test_a[id-{ONE}]", "n.Test"), ["m.Test.test_a", "n.Test.test_c"]),
        (("m.Test", "gone.Test"), ["m.Test.test_a"]),
        (("tempest",), ["m.IpV6Test.test_a", "m.Test.test_a", "m.Other.test_b", "n.Test.test_c"]),
    ],
)
def test_known_tests_are_not_listed_again(tmp_path: Path, entries: tuple[str, ...], ran: list[str]) -> None:
    pytest.importorskip("subunit")
    run = a_known_run(tmp_path, entries)
    run.carry_out()
    assert sorted(name.partition("[")[0] for name in run.counter.ended) == sorted(ran)
    assert (run.counter.counts.total, run.counter.counts.passed) == (len(ran), len(ran))


def test_a_known_test_that_the_run_does_not_mark_as_slow(tmp_path: Path) -> None:
    pytest.importorskip("subunit")
    run = a_known_run(tmp_path, ("m.Test",), [f"m.Test.test_a[id-{ONE},slow,volume]"])
    had = f"m.Test.test_a[id-{ONE},volume]"
    known = KNOWN.format(python=sys.executable)
    run.tempest.program.write_text(known.replace("file.read()", f"({had!r} if {had!r} in file.read() else '')"))
    run.carry_out()
    assert run.counter.ended == {had}
    counts = run.counter.counts
    assert (counts.total, counts.done, counts.passed) == (1, 1, 1)


def test_test_cases_that_mean_none_of_the_known_tests(tmp_path: Path) -> None:
    for entries in (("gone.Test",), ("regex:nothing",), (f"gone.Test.test_x[id-{UNKNOWN}]",)):
        with pytest.raises(BadInput, match="match no test"):
            a_known_run(tmp_path, entries).carry_out()


WAITING = """\
#!{python}
import pathlib, sys
place = pathlib.Path({place!r})
(place / "started").touch()
with open(sys.argv[sys.argv.index("--load-list") + 1]) as file:
    (place / "read").write_text(file.read())
"""


def test_tempest_starts_while_it_logs_in_and_waits_for_its_tests(tmp_path: Path) -> None:
    run = a_waiting_run(tmp_path)

    def log_in() -> None:
        eventually("Tempest has started", (tmp_path / "started").exists)
        assert not (tmp_path / "read").exists()

    run.carry_out(log_in)
    assert (tmp_path / "read").read_text().split() == [name.format(ONE, TWO) for name in LISTED]


def test_no_test_begins_where_tempest_cannot_log_in(tmp_path: Path) -> None:
    run = a_waiting_run(tmp_path)

    def log_in() -> None:
        eventually("Tempest has started", (tmp_path / "started").exists)
        raise CloudFailure("Tempest cannot log in")

    with pytest.raises(CloudFailure, match="cannot log in"):
        run.carry_out(log_in)
    assert not (tmp_path / "read").exists()
    assert not (tmp_path / "work" / "subunit").exists()


def a_waiting_run(folder: Path) -> TempestRun:
    """A run that knows its tests, of a Tempest that shows when it starts and which tests it is given."""
    run = a_known_run(folder, ("tempest",))
    run.tempest.program.write_text(WAITING.format(python=sys.executable, place=str(folder)))
    return run


def test_a_tempest_that_ends_before_it_reads_its_tests(tmp_path: Path) -> None:
    run = a_known_run(tmp_path, ("tempest",), [f"m.Test.test_{number:06}" for number in range(10_000)])
    run.tempest.program.write_text("#!/bin/sh\necho no such module >&2\nexit 3\n")
    run.carry_out()
    assert (run.status, list(run.last_lines)) == (3, ["no such module"])


@pytest.mark.parametrize(("processes", "started"), [(1, 1), (2, 2)])
def test_a_tempest_that_was_started_before_the_cloud_was_asked(tmp_path: Path, processes: int, started: int) -> None:
    pytest.importorskip("subunit")
    run = a_known_run(tmp_path, ("tempest",))
    program, starts = run.tempest.program, tmp_path / "starts"
    noted = f"import os; open({str(starts)!r}, 'a').write('started\\n'); os.mkdir('.stestr')\n"
    program.write_text(program.read_text().replace("import sys\n", f"import sys\n{noted}", 1))
    with WaitingRun.begun(run.tempest, run.workspace, 1, {}) as waiting:
        eventually("it is started", starts.exists)
        run.waiting, run.concurrency = waiting, processes
        run.carry_out()
        assert waiting.program.returncode is not None
    assert (run.counter.counts.total, run.counter.counts.passed) == (4, 4)
    # one for other processes than the run turned out to need is ended, and another one started
    assert starts.read_text() == "started\n" * started


GATED = """\
#!{python}
import fcntl, os, sys
names = sys.stdin.read()
open("{folder}/listed", "w").close()
with open("{gate}") as gate:
    fcntl.flock(gate, fcntl.LOCK_SH)
open("{folder}/began", "w").close()
"""


@pytest.mark.parametrize("error", ["", "Tempest cannot log in"])
def test_tests_are_loaded_while_tempest_logs_in_and_begin_afterwards(tmp_path: Path, error: str) -> None:
    run = a_known_run(tmp_path, ("tempest",))
    run.tempest = replace(run.tempest, package=str(tmp_path))
    gate = run.workspace.test_path / "gate"
    run.tempest.program.write_text(GATED.format(python=sys.executable, folder=tmp_path, gate=gate))

    def log_in() -> None:
        eventually("the tests are loaded", (tmp_path / "listed").exists)
        assert not (tmp_path / "began").exists()
        if error:
            raise CloudFailure(error)

    if error:
        with pytest.raises(CloudFailure, match=error):
            run.carry_out(log_in)
    else:
        run.carry_out(log_in)
    assert (tmp_path / "began").exists() is not bool(error)


def test_a_tempest_that_is_not_needed_ends_with_the_preparation(tmp_path: Path) -> None:
    run = a_known_run(tmp_path, ("tempest",))
    with pytest.raises(CloudFailure), WaitingRun.begun(run.tempest, run.workspace, 1, {}) as waiting:
        raise CloudFailure("the cloud cannot be reached")
    assert waiting.program.returncode is not None


def a_known_run(folder: Path, entries: tuple[str, ...], listed: Sequence[str] = LISTED) -> TempestRun:
    """A run that knows its tests, of a Tempest that fails when it is asked for them."""
    names = tuple(name.format(ONE, TWO) for name in listed)
    program = program_of(folder) if not (folder / "bin").exists() else folder / "bin/tempest"
    text = KNOWN.format(python=sys.executable)
    program.write_text(text)
    run = a_run(program, folder / "work")
    run.tempest = replace(run.tempest, load_list=True)
    run.selection, run.facts = Selection(entries), TestFacts(names)
    return run


def test_test_cases_that_mean_nothing_do_not_run_everything(tmp_path: Path) -> None:
    run = a_run(program_of(tmp_path), tmp_path / "work")
    run.selection = Selection((f"gone.Test.test_x[id-{UNKNOWN}]",))
    run.carry_out()
    assert run.counter.seen == 0
    with pytest.raises(BadInput, match="match no test"):
        judge(run, ())


NO_IMAGE = Gap(Need.IMAGE, "image: none is there; tests are left out. Upload one")
SERVERS = ["tempest.api.compute.servers.test_servers.ServersTestJSON.test_x[id-{0}]",
           "tempest.api.compute.test_versions.TestVersions.test_list[id-{1}]"]  # fmt: skip


def test_what_the_cloud_lacks_is_no_failure_of_a_test(tmp_path: Path) -> None:
    pytest.importorskip("subunit")
    run = a_run(program_of(tmp_path, SERVERS), tmp_path / "work")
    run.selection, run.gaps = Selection(("tempest.api.compute",)), (NO_IMAGE,)
    run.carry_out()
    counts = run.counter.counts
    assert (counts.total, counts.passed, counts.failed, counts.skipped) == (2, 1, 0, 1)
    verdict = judge(run, ())
    assert (
        verdict.exit_code == 0 and verdict.message == "1 passed, 0 failed, 1 skipped (the first: image: none is there)"
    )
    told = attachments((tmp_path / "work" / "subunit").read_bytes())
    assert told == {f"{SERVERS[0].format(ONE)}/reason": b"image: none is there"}


def test_a_cloud_that_lacks_what_every_test_needs(tmp_path: Path) -> None:
    run = a_run(program_of(tmp_path, SERVERS[:1]), tmp_path / "work")
    run.selection, run.gaps = Selection(("tempest.api.compute.servers",)), (NO_IMAGE,)
    with pytest.raises(CloudFailure, match="no test could run on this cloud: image: none is there"):
        run.carry_out()


UNKNOWN = "c22ef352-a342-4587-8f47-3bbdb5b039c4"


def program_of(folder: Path, listed: Sequence[str] = LISTED) -> Path:
    """A program in Tempest's place that lists and runs a few tests; of the usual four, two have the same id."""
    place = folder / "bin"
    place.mkdir()
    program = place / "tempest"
    program.write_text(BY_NAME.format(python=sys.executable, listed=[name.format(ONE, TWO) for name in listed]))
    program.chmod(0o755)
    for name in ("python", "stestr"):
        (place / name).symlink_to(sys.executable if name == "python" else "/bin/true")
    return program
