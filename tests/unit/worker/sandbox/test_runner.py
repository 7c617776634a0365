"""The run agent, started for real, through the runner's own interface."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.worker.sandbox import agent, leftovers
from refstack_worker.worker.sandbox.runner import Command, EmbeddedRunner, ProcessExit
from tests.support.sandbox_runs import RecordingListener, python, run
from tests.support.worker_parts import eventually, gone

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
mark = sys.argv[1]
child = '''
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork(): os._exit(0)
os.setsid()
open(sys.argv[1], "a").write(str(os.getpid()) + chr(10))
time.sleep(600)
'''
for _ in range(3):
    subprocess.run([sys.executable, "-c", child, mark])
while not os.path.exists(mark) or open(mark).read().count(chr(10)) < 3: time.sleep(0.01)
open(mark, "a").write(str(os.getpid()) + chr(10))
print('{"event": "ready"}', flush=True)
time.sleep(600)
"""
"""Ignores TERM and leaves daemons, each in a session of its own and without a parent."""


@pytest.fixture
def embedded(tmp_path: Path) -> EmbeddedRunner:
    return EmbeddedRunner(tmp_path / "runs", f"test{os.getpid()}")


def test_events_logs_files_and_status_come_back(embedded: EmbeddedRunner, tmp_path: Path) -> None:
    text = """
import json, os, stat, sys
print(json.dumps({"event": "state", "token": open(sys.argv[1]).read(),
      "mode": oct(stat.S_IMODE(os.stat(sys.argv[1]).st_mode)), 
      "folder": oct(stat.S_IMODE(os.stat(os.path.dirname(sys.argv[1])).st_mode)),
      "cwd": os.getcwd(), "home": os.environ["HOME"], "env": sorted(os.environ)}))
print("no JSON"); print("[1]"); sys.stdout.write("half")
print("to stderr", file=sys.stderr)
open("subunit", "wb").write(bytes(range(256)) * 12000)
os.symlink("/etc/passwd", "link"); os.mkfifo("pipe")
sys.exit(5)
"""
    command = python(
        text,
        "{run}/token",
        files={"token": b"s3cret", "other": b"x"},
        results=("subunit", "link", "pipe", "absent"),
        results_on=(5,),
    )
    end, ears = run(embedded, command)
    assert end == ProcessExit(5)
    (event,) = ears.events
    assert (event["token"], event["mode"], event["folder"]) == ("s3cret", "0o600", "0o700")
    assert event["cwd"] == event["home"] + "/work"
    assert set(event["env"]) <= {"PATH", "HOME", "TMPDIR", "REFSTACK_RUN", "LC_CTYPE"}
    assert {"no JSON", "[1]", "half", "to stderr"} == set(ears.lines)
    assert ears.files == {"subunit": bytes(range(256)) * 12000}
    assert list((tmp_path / "runs").iterdir()) == []


def test_results_stay_when_they_are_not_asked_for_or_too_large(embedded: EmbeddedRunner) -> None:
    text = "import sys; open('subunit', 'w').write('x' * 1000); sys.exit(int(sys.argv[1]))"
    assert run(embedded, python(text, "0", results=("subunit",), results_on=(5,)))[1].files == {}
    assert run(embedded, python(text, "5", results=("subunit",), results_on=(5,), max_result=999))[1].files == {}


def test_a_program_that_is_not_there_is_an_end_with_a_message(embedded: EmbeddedRunner) -> None:
    end, _ = run(embedded, Command(("/no/such/program",)))
    assert end.status is None and not end.lost
    assert "/no/such/program: cannot be started" in end.message


def test_a_run_that_ignores_term_and_leaves_daemons_is_gone_after_stop(
    embedded: EmbeddedRunner, tmp_path: Path
) -> None:
    mark = tmp_path / "pids"
    with embedded.open("1-1-test") as sandbox:
        ears = RecordingListener(lambda event: threading.Thread(target=sandbox.stop).start())
        end = sandbox.run(python(STUBBORN, str(mark), grace=0.2), ears)
        pids = [int(line) for line in mark.read_text().split()]
        assert len(pids) == 4
        assert [pid for pid in pids if not gone(pid)] == []
        assert end.status == -signal.SIGKILL
        # the folder is still there for what has to be cleared up
        after = RecordingListener()
        assert sandbox.run(python('print(\'{"event": "cleaned"}\')'), after, after_stop=True).status == 0
    assert after.events == [{"event": "cleaned"}]
    assert list((tmp_path / "runs").iterdir()) == []


def test_what_a_program_leaves_running_goes_with_its_end(embedded: EmbeddedRunner, tmp_path: Path) -> None:
    text = """
import subprocess, sys
child = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.setsid(); time.sleep(600)"
print(subprocess.Popen([sys.executable, "-c", child]).pid)
"""
    end, ears = run(embedded, python(text))
    assert end.status == 0
    assert gone(int(ears.lines[0]))


def test_stop_before_the_start_is_obeyed(embedded: EmbeddedRunner, tmp_path: Path) -> None:
    with embedded.open("1-1-test") as sandbox:
        sandbox.stop()
        end = sandbox.run(python("open('/proc/self/oom_score')"), RecordingListener())
    assert end == ProcessExit(None, "stopped before it began")


WORKER = """
import sys
from pathlib import Path
from refstack_worker.worker.sandbox.runner import Command, EmbeddedRunner
class Ears:
    def event(self, event): print("ready", flush=True)
    def log(self, line): print(line, file=sys.stderr)
    def file(self, *_): pass
runs, stubborn, mark = sys.argv[1:]
command = Command((sys.executable, "-c", stubborn, mark), files={"token": b"s3cret"}, grace=0.2)
with EmbeddedRunner(Path(runs), "test").open("1-1-test") as session:
    session.run(command, Ears())
"""


def test_the_run_ends_when_its_worker_is_killed(tmp_path: Path) -> None:
    mark, runs = tmp_path / "pids", tmp_path / "runs"
    words = [sys.executable, "-c", WORKER, str(runs), STUBBORN, str(mark)]
    worker = subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert worker.stdout is not None and worker.stdout.readline() == b"ready\n"
        assert len(list(runs.glob("*/token"))) == 1
        worker.kill()
        pids = [int(line) for line in mark.read_text().split()]
        eventually(lambda: all(gone(pid) for pid in pids))
        eventually(lambda: not list(runs.iterdir()))
    finally:
        worker.kill()
        worker.communicate()


def test_a_killed_agent_is_noticed_and_swept_up(embedded: EmbeddedRunner, tmp_path: Path) -> None:
    mark = tmp_path / "pids"

    def kill_the_agent(event: Mapping[str, Any]) -> None:
        (agent,) = [
            pid
            for pid in leftovers.marked(f"test{os.getpid()}/")
            if b"sandbox.agent" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(agent, signal.SIGKILL)

    end, _ = run(embedded, python(STUBBORN, str(mark)), RecordingListener(kill_the_agent))
    assert end.lost and "killed from outside" in end.message
    eventually(lambda: all(gone(int(pid)) for pid in mark.read_text().split()))
    assert list((tmp_path / "runs").iterdir()) == []


def test_limits_hold_for_each_process(embedded: EmbeddedRunner) -> None:
    text = """
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try: open("big", "wb").write(b"x" * 2000000)
except OSError as error: print(error.strerror)
try: bytearray(2 << 30)
except MemoryError: print("no memory")
import resource; print(resource.getrlimit(resource.RLIMIT_CORE))
"""
    _, ears = run(embedded, python(text, limits={"file": 1 << 20, "memory": 1 << 30}))
    assert ears.lines == ["File too large", "no memory", "(0, 0)"]


def test_an_endless_line_is_cut(embedded: EmbeddedRunner) -> None:
    _, ears = run(embedded, python("import sys; sys.stderr.write('x' * 3000000 + '\\ny\\n')"))
    assert [len(line) for line in ears.lines] == [256 * 1024, 1]


def test_a_line_without_end_is_cut_and_takes_no_memory(embedded: EmbeddedRunner) -> None:
    told: list[bytes] = []
    lines = agent.Lines(told.append)
    tracemalloc.start()
    try:
        for _ in range(300):
            lines.feed(b"x" * agent.CHUNK)
        assert tracemalloc.get_traced_memory()[1] < 8 * agent.CHUNK
    finally:
        tracemalloc.stop()
    lines.feed(b"\nnext\n")
    assert [len(line) for line in told] == [agent.MAX_LINE, 4]
    # and the same for real, on both outputs, with events that are deeper than anybody can write them again
    text = """
import sys
for _ in range(30): sys.stdout.write("x" * 1000000); sys.stderr.write("y" * 1000000)
print()
for depth in (*range(150, 1100), 50000): print('{"event": ' + "[" * depth + "]" * depth + "}")
print('{"event": "last"}')
"""
    end, ears = run(embedded, python(text))
    assert end == ProcessExit(0) and ears.events == [{"event": "last"}]
    assert max(map(len, ears.lines)) == agent.MAX_LINE


def test_what_a_run_leaves_on_purpose_goes_and_nothing_else(embedded: EmbeddedRunner, tmp_path: Path) -> None:
    """Folders deeper than a path may be long, closed ones, pipes, sockets, links to what is not the run's."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "subunit").write_text("not the run's")
    text = """
import os, socket, sys
os.symlink(sys.argv[1], "../tmp/link"); os.symlink(sys.argv[1] + "/subunit", "subunit"); os.mkfifo("pipe")
listening = socket.socket(socket.AF_UNIX); listening.bind("s"); os.link(sys.argv[1] + "/subunit", "hard")
os.mkdir("closed"); os.mkdir("closed/within"); os.chmod("closed/within", 0); os.chmod("closed", 0)
number = os.open(".", os.O_RDONLY)
for _ in range(6000):
    os.mkdir("d" * 20, dir_fd=number); deeper = os.open("d" * 20, os.O_RDONLY, dir_fd=number); os.close(number)
    number = deeper
sys.exit(5)
"""
    end, ears = run(embedded, python(text, str(kept), results=("subunit", "pipe", "s", "closed"), results_on=(5,)))
    assert end == ProcessExit(5) and ears.files == {}
    assert list((tmp_path / "runs").iterdir()) == []
    assert (kept / "subunit").read_text() == "not the run's"


def test_one_program_at_a_time_and_no_files_elsewhere(embedded: EmbeddedRunner, tmp_path: Path) -> None:
    end, _ = run(embedded, python("pass", files={"../../escaped": b"x"}))
    assert end.lost
    assert not list(tmp_path.rglob("escaped"))
