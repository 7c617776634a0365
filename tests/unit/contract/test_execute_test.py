"""Exit codes, events and command line of execute_test, as both sides use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refstack_worker.contract.execute_test import (
    REASONS,
    STATES,
    CommandLine,
    EndEvent,
    Event,
    ExitCode,
    MessageEvent,
    Reason,
    StateEvent,
    event_line,
    read_event,
    read_event_line,
)
from refstack_worker.contract.progress import Progress
from refstack_worker.execute_test.arguments import parse_arguments

EVENTS: list[Event] = [
    StateEvent("running", "Tempest 47.0.0 at http://k"),
    Progress(5, 3, 2, 1, 0, 12, "a.b.C.test_ä"),
    Progress(),
    MessageEvent("two\nlines"),
    EndEvent(1, "tests-failed", "1 failed"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_what_is_written_is_read(event: Event) -> None:
    line = event_line(event)
    assert "\n" not in line
    assert read_event_line(line) == read_event_line(line.encode() + b"\n") == event


def test_texts_are_masked() -> None:
    line = event_line(EndEvent(4, "tempest", "no hunter2"), lambda text: text.replace("hunter2", "***"))
    assert json.loads(line) == {"event": "end", "exit_code": 4, "reason": "tempest", "message": "no ***"}


@pytest.mark.parametrize(
    "line",
    ["", "Traceback (most recent call last):", "[1]", "1", "null", '"end"', "{}", '{"event": "x"}',
     '{"event": ["end"]}', '{"event": "progress", "done": true}',
     b"\xff\xfe", "[" * 100_000, '{"event": "state", "state": "finished"}', '{"event": "state"}',
     '{"event": "progress", "total": -1}', '{"event": "progress", "total": "many"}',
     '{"event": "progress", "total": NaN}', '{"event": "progress", "total": 1e300}'],
)  # fmt: skip
def test_any_other_line_is_not_an_event(line: str | bytes) -> None:
    assert read_event_line(line) is None


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=3)
NAMES = st.sampled_from(["event", "state", "total", "done", "seconds_left", "test", "text", "exit_code", "reason", "x"])
KINDS = st.sampled_from(["state", "progress", "message", "end"])


@given(st.dictionaries(NAMES, JSON), KINDS | JSON)
def test_no_value_breaks_the_reader(value: dict[str, Any], kind: object) -> None:
    event = read_event({**value, "event": kind})
    if isinstance(event, Progress):
        Progress.from_json(event.to_json())


def test_progress_before_an_estimate() -> None:
    event = read_event({"event": "progress", "total": 4, "done": 1.0, "seconds_left": None})
    assert event == Progress(total=4, done=1)


def test_texts_that_are_missing_or_no_texts_are_empty() -> None:
    assert read_event({"event": "end", "reason": None, "message": 3}) == EndEvent()
    assert read_event({"event": "message"}) == MessageEvent("")


def test_every_exit_code_has_its_reasons() -> None:
    assert set(REASONS) == set(ExitCode)
    assert [reason for reasons in REASONS.values() for reason in reasons] == list(Reason)
    assert STATES == ("running", "posting")


def test_command_line_is_read_as_it_was_written(tmp_path: Path) -> None:
    for name, content in {"token": "s" * 20, "conf": '{"a": {"b": 1}}', "cases": '["tempest.api.x"]'}.items():
        (tmp_path / name).write_text(content)
    call = CommandLine(
        program=("python3", "/x/execute_test"),
        callback="https://refstack.example/x",
        test_id=7,
        attempt=2,
        token_file=str(tmp_path / "token"),
        ca_file="/ca.pem",
        conf_json=f"@{tmp_path}/conf",
        tempest_home="/t",
        testcases=f"@{tmp_path}/cases",
        concurrency=4,
        timeout=3600,
        resource_prefix="refstack-7-2",
        patience=0,
        stop_grace=29.5,
        workdir=str(tmp_path / "work"),
        keep=True,
        cleanup_only=True,
    )
    words = call.words()
    assert words[:2] == ["python3", "/x/execute_test"]
    args = parse_arguments(words[2:])
    assert (args.callback, args.test_id, args.attempt, args.token) == (call.callback, 7, 2, "s" * 20)
    assert (args.ca_file, args.conf_json, args.tempest_home) == ("/ca.pem", {"a": {"b": 1}}, Path("/t"))
    assert (args.testcases, args.concurrency, args.timeout) == (("tempest.api.x",), 4, 3600)
    assert (args.prefix, args.patience, args.stop_grace) == ("refstack-7-2", 0, 29.5)
    assert (args.workdir, args.keep, args.cleanup_only, args.json_progress) == (tmp_path / "work", True, True, True)


def test_command_line_that_posts(tmp_path: Path) -> None:
    args = parse_arguments(CommandLine("http://r", 7, post_only=str(tmp_path), patience=5).words()[1:])
    assert (args.post_only, args.patience, args.attempt, args.token) == (tmp_path, 5, 0, "")
