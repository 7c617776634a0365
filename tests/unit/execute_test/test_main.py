"""How a call ends: exit code, last event, messages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.execute_test.log import LOG
from refstack_worker.execute_test.main import main
from tests.support.http_server import Scripted, as_json, serving

TOP = Path(__file__).resolve().parents[3]
HOME = ["--tempest-home", "/t"]


def test_bad_input_ends_with_2_and_an_end_event(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--progress", "json", "--callback", "gopher://x", "1", *HOME]) == 2
    end = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (end["event"], end["exit_code"], end["reason"]) == ("end", 2, "bad-input")


def test_machine_that_cannot_go_on_is_named_as_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--progress", "json", "--workdir", "/dev/null/work", "--callback", "http://127.0.0.1:9", "1", *HOME]
    assert main(words) == 4
    end = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (end["exit_code"], end["reason"]) == (4, "machine"), end


def test_machine_without_requests_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.startswith("refstack_worker.execute_test.")]:
        if name.rpartition(".")[2] in ("http", "refstack_server"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "requests", None)
    (tmp_path / "subunit").write_bytes(b"x")
    assert main(["--callback", "http://127.0.0.1:9", "1", "--post-only", str(tmp_path)]) == 4
    assert "install python3-requests" in capsys.readouterr().out


def test_a_mistake_on_the_command_line_is_said_once() -> None:
    words = [sys.executable, "-m", "refstack_worker.execute_test", "--no-such-option"]
    done = subprocess.run(words, cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 2
    assert (done.stdout + done.stderr).count("--no-such-option") == 1
    assert done.stderr.startswith("execute_test: bad-input: ")


THANKS = as_json({"message": "thank you", "test_id": 7, "attempt": 2}, 201)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serving() as script:
        yield script


@pytest.fixture
def result(tmp_path: Path) -> Path:
    (tmp_path / "subunit").write_bytes(b"\xb3stream" * 200_000)
    (tmp_path / "summary.json").write_text('{"exit_code": 0}')
    return tmp_path


def test_post_only_command(server: Scripted, result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("/post-result", THANKS)
    words = ["--callback", server.url, "7", "--post-only", str(result), "--progress", "json"]
    assert main(words) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["state", "end"]
    server.on("/post-result", as_json({"error": "superseded"}, 409))
    assert main(words) == 5
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["reason"] == "refused"


def test_post_only_without_a_result(server: Scripted, tmp_path: Path) -> None:
    assert main(["--callback", server.url, "7", "--post-only", str(tmp_path)]) == 2
    assert server.asked == []


SECRET = "adm1n-s3cret-word"


@pytest.fixture
def own_log() -> Iterator[None]:
    before = list(LOG.handlers)
    LOG.handlers.clear()
    yield
    for handler in LOG.handlers:
        handler.close()
    LOG.handlers[:] = before


def looked_at(cloud: Scripted, folder: Path, endpoints: list[Any], *more: str) -> int:
    """Clean up in a cloud with this catalogue."""
    person = {"id": "u", "name": "admin"}
    catalog = [{"type": "identity", "endpoints": endpoints}]
    token = {"project": {"id": "p"}, "user": person, "roles": [{"name": "admin"}], "catalog": catalog}
    cloud.on("/v3/auth/tokens", as_json({"token": token}, 201, **{"X-Subject-Token": "t"}))
    conf = {
        "identity": {"uri_v3": f"{cloud.url}/v3"},
        "auth": {"admin_username": "admin", "admin_password": SECRET},
    }
    words = ["--conf-json", json.dumps(conf), "--workdir", str(folder / "work"), "--resource-prefix", "refstack-1-1"]
    return main([*words, *HOME, "--cleanup-only", "--progress", "json", *more])


@pytest.mark.usefixtures("own_log")
def test_a_cloud_that_answers_nonsense_is_the_failure_and_not_failed_tests(
    server: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert looked_at(server, tmp_path, ["http://cloud.example"]) == 3
    shown = capsys.readouterr()
    assert json.loads(shown.out.splitlines()[-1])["reason"] == "cloud"


@pytest.mark.usefixtures("own_log")
def test_a_node_without_memory_is_not_the_clouds_failure(
    monkeypatch: pytest.MonkeyPatch, server: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fills(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("refstack_worker.execute_test.cloud.discovery.administrator", fills)
    assert looked_at(server, tmp_path, []) not in (0, 1, 3)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["message"] == "this machine: not enough memory"


@pytest.mark.usefixtures("own_log")
def test_a_fault_of_the_program_shows_no_secret_and_is_not_the_status_of_failed_tests(
    monkeypatch: pytest.MonkeyPatch, server: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(*_: Any) -> None:
        raise RuntimeError(f"at {SECRET}")

    monkeypatch.setattr("refstack_worker.execute_test.cleanup.clean_up", breaks)
    assert looked_at(server, tmp_path, []) == 4
    shown = capsys.readouterr()
    assert json.loads(shown.out.splitlines()[-1])["reason"] == "tempest"
    assert SECRET not in shown.out + shown.err and SECRET not in (tmp_path / "work" / "execute_test.log").read_text()
