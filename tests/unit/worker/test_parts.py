"""Small parts: hooks, lists of tests, command lines, what systemd hears."""

from __future__ import annotations

import gzip
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker import systemd
from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.config.worker import RunSettings, ServerLinkSettings, WorkerSettings
from refstack_worker.contract.payload import Testcases
from refstack_worker.errors import ConfigError, PayloadError, RunError, ServerError
from refstack_worker.worker.attempt import hooks, testcases
from refstack_worker.worker.sandbox import commands
from refstack_worker.worker.sandbox.commands import Commands
from refstack_worker.worker.server_api.attempts import ClaimedAttempt
from tests.support.http_server import Reply, Scripted


@pytest.fixture
def settings(tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(EnvironmentSettings(tmp_path / "store"))


def hook(folder: Path, name: str, text: str, mode: int = 0o755) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(mode)


def test_hooks_run_in_order_with_the_ids_and_no_secret(tmp_path: Path, held: ClaimedAttempt) -> None:
    out = tmp_path / "out"
    for name in ("20-b", "10-a"):
        hook(
            tmp_path / "d",
            name,
            f"echo {name} $REFSTACK_TEST_ID:$REFSTACK_ATTEMPT $REFSTACK_ENDING >> {out}; env >> {out}.env",
        )
    hook(tmp_path / "d", "README", "exit 1", 0o644)
    hooks.run(tmp_path / "d", held, "me/hook", "posted")
    assert out.read_text() == "10-a 7:2 posted\n20-b 7:2 posted\n"
    given = Path(f"{out}.env").read_text()
    assert held.payload.secret not in given
    assert "REFSTACK_RUN=me/hook\n" in given, "a worker that starts again finds what a killed one has left"
    hooks.run(tmp_path / "absent", held, "me/hook")


def test_a_hook_that_fails_before_a_run_stops_it(tmp_path: Path, held: ClaimedAttempt) -> None:
    hook(tmp_path / "d", "a", "echo no network >&2; exit 3")
    with pytest.raises(RunError, match="no network"):
        hooks.run(tmp_path / "d", held, "me/hook")
    hooks.run(tmp_path / "d", held, "me/hook", "posted")


def test_lists_of_tests(held: ClaimedAttempt, settings: WorkerSettings, server: Scripted) -> None:
    assert testcases.entries(held, settings) is None

    def of(cases: Testcases) -> ClaimedAttempt:
        return replace(held, payload=replace(held.payload, testcases=cases))

    assert testcases.entries(of(Testcases(("a.b",), ("^x",))), settings) == ("a.b", "regex:^x")
    listed = of(Testcases(url=f"{server.url}/list"))
    with pytest.raises(PayloadError, match="fetches no lists"):
        testcases.entries(listed, settings)
    allowing = replace(settings, run=RunSettings(allow_testcase_urls=True))
    server.on("/list", Reply(200, b"# mine\ntempest.a.B.c[id-1] # first\n\ntempest.d\n"))
    assert testcases.entries(listed, allowing) == ("tempest.a.B.c[id-1]", "tempest.d")
    server.on("/list", Reply(200, b"--help\n"))
    with pytest.raises(PayloadError, match="is not a test name"):
        testcases.entries(listed, allowing)
    bomb = Reply(200, gzip.compress(b"tempest.a\n" * 10_000), {"Content-Encoding": "gzip"})
    for reply in (Reply(302, b"", {"Location": "/other"}), Reply(404), Reply(200, b"x" * (9 << 20)), bomb):
        server.on("/list", reply)
        with pytest.raises(ServerError, match="test list"):
            testcases.entries(listed, allowing)
    assert not [asked for asked in server.asked if asked.path == "/other"]


def test_no_secret_is_on_a_command_line(held: ClaimedAttempt, settings: WorkerSettings, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("PEM")
    secured = replace(settings, server=ServerLinkSettings(ca_file=str(tmp_path / "ca.pem")))
    made = Commands(("execute_test",), secured, held, ("a.b",))
    run, clean, post = made.run(Path("/env"), 59.9), made.clean_up(Path("/env"), "refstack-7-1"), made.post("/spool/x")
    for command in (run, clean, post):
        assert held.payload.secret not in str(command) and "hunter22" not in str(command)
        assert command.files["token"] == held.token.encode()
        assert command.argv[command.argv.index("--ca-file") + 1] == "{run}/ca.pem" and command.files["ca.pem"] == b"PEM"
    words = " ".join(run.argv)
    assert f"--callback {held.payload.callback} 7 --attempt 2 --token-file {{run}}/token" in words
    assert "--resource-prefix refstack-7-2 --timeout 59" in words and "--testcases @{run}/testcases.json" in words
    assert run.results_on == (5,) and "subunit" in run.results
    assert "--cleanup-only --resource-prefix refstack-7-1" in " ".join(clean.argv)
    assert "--post-only /spool/x" in " ".join(post.argv)


def test_a_ca_file_that_is_not_there_is_the_nodes_trouble(held: ClaimedAttempt, settings: WorkerSettings) -> None:
    broken = replace(settings, server=ServerLinkSettings(ca_file="/no/ca.pem"))
    with pytest.raises(RunError, match="/no/ca.pem"):
        Commands(("execute_test",), broken, held).run(Path("/env"), 60)


def test_execute_test_is_found(tmp_path: Path) -> None:
    own = commands.find_program("")
    assert own[0] == sys.executable and own[1].endswith("refstack_worker/execute_test")
    script = tmp_path / "mine"
    script.write_text("")
    assert commands.find_program(str(script)) == (sys.executable, str(script))
    script.chmod(0o755)
    assert commands.find_program(str(script)) == (str(script),)
    with pytest.raises(ConfigError, match="run.execute_test"):
        commands.find_program(str(tmp_path / "no"))


def test_systemd_hears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify(READY="1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        systemd.notify(READY="1", STATUS="fine")
        assert listener.recv(100) == b"READY=1\nSTATUS=fine"
    systemd.notify(READY="1")
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert systemd.watchdog_seconds() == 30.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert systemd.watchdog_seconds() == 0.0
