"""What ``run watch`` shows and how its exit status tells the verdict."""

from __future__ import annotations

import io

import pytest

from refstack_worker.cli.queue.runs import watch
from refstack_worker.errors import RefusedError, ServerError

QUIET = {"total": 0, "done": 0, "passed": 0, "failed": 0, "skipped": 0, "seconds_left": 0}

CAUSES = [
    {"tests": 4, "line": "Unauthorized: no", "fix": "Check the password."},
    {"tests": 1, "line": "odd", "fix": ""},
]


def run(state, **more):
    counts = {"passed": 0, "failed": 0, "skipped": 0, **more.pop("counts", {})}
    usual = {"test_id": 7, "state": state, "attempt": 1, "worker": "", "reason": "", "message": ""}
    return {**usual, "counts": counts, "progress": {**QUIET, **more.pop("progress", {})}, **more}


class Server:
    """Answers with one state after the other; an exception among them is raised."""

    def __init__(self, *states):
        self.states = list(states)
        self.messages = [
            {"id": 1, "time": "12:00", "message": "queued"},
            {"id": 2, "time": "12:01", "message": "claimed"},
        ]

    def get(self, path, query=None):
        if path.endswith("/messages"):
            return {"messages": [message for message in self.messages if message["id"] > query["after"]]}
        if path.endswith("/report"):
            return {"causes": CAUSES}
        answer = self.states.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(watch, "POLL_SECONDS", 0)


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        (run("finished", counts={"passed": 5, "skipped": 1}), 0, "passed: 5 passed, 0 failed, 1 skipped"),
        (run("finished", counts={"passed": 5, "failed": 1}), 1, "tests failed: 5 passed, 1 failed"),
        (run("cancelled", reason="cancelled", message="by me"), 9, "cancelled (cancelled: by me)"),
        (run("failed", reason="cloud", message="refused"), 11, "failed (cloud: refused)"),
    ],
)
def test_exit_status_tells_the_verdict(end, status, said):
    out = io.StringIO()
    assert watch.Watcher(Server(run("queued"), end), out).watch(7) == status
    assert said in out.getvalue()


def test_the_end_tells_what_it_means_and_why():
    out = io.StringIO()
    judged = {"passed": False, "count": 53, "total": 58}
    end = run("finished", counts={"passed": 53, "failed": 5}, program="Powered Storage 2020.06", verdict=judged)
    assert watch.Watcher(Server(end), out).watch(7) == 1
    assert out.getvalue().splitlines()[-5:] == [
        "run 7: tests failed: 53 passed, 5 failed, 0 skipped",
        "Powered Storage 2020.06: not passed, 53 of 58 required tests",
        "4 tests: Unauthorized: no",
        "  -> Check the password.",
        "1 test: odd",
    ]


def test_each_message_once():
    out = io.StringIO()
    watch.Watcher(Server(run("queued"), run("claimed", worker="n"), run("finished")), out).watch(7)
    assert out.getvalue().count("claimed\n") == 1


def test_outage_of_the_server_is_outlived():
    out = io.StringIO()
    server = Server(run("queued"), ServerError("away"), ServerError("away"), run("finished"))
    assert watch.Watcher(server, out).watch(7) == 0
    assert out.getvalue().count("away; trying again") == 1


def test_outage_without_end_is_an_error(monkeypatch):
    monkeypatch.setattr(watch, "PATIENCE", -1)
    with pytest.raises(ServerError):
        watch.Watcher(Server(*[ServerError("away")] * 3), io.StringIO()).watch(7)


def test_refusal_is_final():
    with pytest.raises(RefusedError):
        watch.Watcher(Server(RefusedError("no")), io.StringIO()).watch(7)


def test_bar():
    progress = {"total": 40, "done": 10, "passed": 8, "failed": 1, "skipped": 1, "seconds_left": 75}
    line = watch.progress_line(run("running", attempt=2, progress=progress))
    assert (
        line
        == "run 7 running (attempt 2) [######..................] 10/40: 8 passed, 1 failed, 1 skipped, 1 min 15 s left"
    )


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"pause": {"at": "2026-11-27T10:00:00Z", "reason": ""}},
         "the operator paused the queue (since 2026-11-27T10:00:00Z)"),
        ({"pause": {"at": "2026-11-27T10:00:00Z", "reason": "new disks"}},
         "the operator paused the queue: new disks (since 2026-11-27T10:00:00Z)"),
        ({"slots": 0}, "next in line, no available node runs it"),
        ({"ahead": 2, "slots": 1, "seconds": 300}, "2 runs ahead, 1 slot, starts in about 5 min"),
    ],
)  # fmt: skip
def test_a_waiting_run_says_why(place, said):
    place = {"ahead": 0, "slots": 2, "seconds": None, "pause": None, **place}
    out = io.StringIO()
    watch.Watcher(Server(run("queued", place=place), run("finished", place=None)), out).watch(7)
    assert f"run 7 queued: {said}\n" in out.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_what_is_done_is_told_before_it_is_known_how_many_there_are():
    progress = {"total": 0, "done": 3, "passed": 2, "failed": 1, "skipped": 0}
    line = watch.progress_line(run("running", progress=progress))
    assert line.endswith("running 3/?: 2 passed, 1 failed, 0 skipped")


def test_bar_is_wiped_on_a_terminal_before_a_line():
    out = Terminal()
    progress = {"total": 40, "done": 10}
    watch.Watcher(Server(run("running", progress=progress), run("finished")), out).watch(7)
    assert "\r" in out.getvalue()
    assert out.getvalue().endswith("\rrun 7: passed: 0 passed, 0 failed, 0 skipped\n")
