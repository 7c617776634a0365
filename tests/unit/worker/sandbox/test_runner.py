"""The run agent, started for real, through the runner's own interface."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.config.worker import RunSettings
from refstack_worker.errors import RunError
from refstack_worker.worker.sandbox import agent, frames, leftovers, runner
from refstack_worker.worker.sandbox.runner import Command, EmbeddedRunner, ProcessExit, Sandbox, SystemdRunner
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


class RecordingListener:
    """Keeps what a program says; ``heard`` is set with each event."""

    def __init__(self, on_event: Callable[[Mapping[str, Any]], None] = lambda event: None) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.lines: list[str] = []
        self.files: dict[str, bytes] = {}
        self.last: set[str] = set()
        self._on_event = on_event

    def event(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)
        self._on_event(event)

    def log(self, line: str) -> None:
        self.lines.append(line)

    def file(self, name: str, data: bytes, last: bool) -> None:
        assert name not in self.last
        self.files[name] = self.files.get(name, b"") + data
        if last:
            self.last.add(name)


@pytest.fixture
def embedded(tmp_path: Path) -> EmbeddedRunner:
    return EmbeddedRunner(tmp_path / "runs", f"test{os.getpid()}")


def python(text: str, *words: str, **more: Any) -> Command:
    return Command((sys.executable, "-c", text, *words), env={"PATH": os.defpath}, **more)


def run(
    embedded: EmbeddedRunner, command: Command, ears: RecordingListener | None = None
) -> tuple[ProcessExit, RecordingListener]:
    ears = ears or RecordingListener()
    with embedded.open("1-1-test") as sandbox:
        return sandbox.run(command, ears), ears


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


@contextmanager
def accepting(path: Path) -> Iterator[None]:
    """Start an agent for each connection, as systemd does with Accept=yes: the connection is standard input."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    started: list[subprocess.Popen[bytes]] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            folder = path.parent / f"unit-{len(started)}"
            folder.mkdir()
            with connection:
                words = [sys.executable, "-m", "refstack_worker.worker.sandbox.agent"]
                env = {**os.environ, "RUNTIME_DIRECTORY": str(folder), "PYTHONPATH": os.getcwd()}
                started.append(subprocess.Popen(words, stdin=connection, env=env))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for process in started:
            assert process.wait(10) == 0


def test_the_same_over_a_socket_that_systemd_would_accept(tmp_path: Path) -> None:
    path = tmp_path / "run.sock"
    with accepting(path):
        chosen = runner.choose(RunSettings(runner="auto", socket=path), "instance")
        assert isinstance(chosen, SystemdRunner)
        ears = RecordingListener()
        with chosen.open("1-1-test") as sandbox:
            folder = "import os; print(os.environ['HOME'])"
            assert sandbox.run(python(folder, files={"token": b"x"}), ears).status == 0
            assert Path(ears.lines[0], "token").read_bytes() == b"x"
        assert not Path(ears.lines[0]).exists()


def test_a_socket_that_nobody_serves_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="systemctl start refstack-run.socket"), SystemdRunner(tmp_path / "no").open("x"):
        pass
    assert isinstance(runner.choose(RunSettings(runner="auto", socket=tmp_path / "no"), "i"), EmbeddedRunner)


def test_a_session_whose_agent_went_says_so() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    assert Sandbox(ours).run(Command(("true",)), RecordingListener()).lost


@pytest.mark.parametrize(
    "frame",
    [
        ("file", {"name": "unasked"}, b"x"),
        ("file", {"name": "subunit"}, b"x" * 11),
        ("end", {"status": "0"}, b""),
        ("end", {"status": [0]}, b""),
        ("reboot", {}, b""),
    ],
)
def test_a_lying_agent_is_not_believed(frame: tuple[str, dict[str, Any], bytes]) -> None:
    listener = RecordingListener()
    command = Command(("true",), results=("subunit",), max_result=10)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(RunError, match="run socket"):
        frames.send(theirs, *frame)
        Sandbox(ours).run(command, listener)
    assert listener.files == {}


def test_a_run_that_prints_without_end_is_held_up() -> None:
    now = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = runner.OutputPace(10, lambda: now[0], sleep)
    for _ in range(35):
        pace.count()
    assert slept == [1.0, 1.0, 1.0]
    now[0] += 0.5
    for _ in range(6):
        pace.count()
    assert slept[3:] == [0.5], "half of this second is over"
    now[0] += 60
    for _ in range(10):
        pace.count()
    assert len(slept) == 4, "a run that prints little is never held up"
