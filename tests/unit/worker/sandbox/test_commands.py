from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker.config.worker import ServerLinkSettings, WorkerSettings
from refstack_worker.errors import ConfigError, RunError
from refstack_worker.worker.sandbox import commands
from refstack_worker.worker.sandbox.commands import Commands, KnownTests
from refstack_worker.worker.server_api.attempts import ClaimedAttempt


def test_no_secret_is_on_a_command_line(claimed: ClaimedAttempt, settings: WorkerSettings, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("PEM")
    secured = replace(settings, server=ServerLinkSettings(ca_file=str(tmp_path / "ca.pem")))
    made = Commands(("execute_test",), secured, claimed.payload, claimed.token, ("a.b",))
    run, clean, post = made.run(Path("/env"), 59.9), made.clean_up(Path("/env"), "refstack-7-1"), made.post("/spool/x")
    for command in (run, clean, post):
        assert claimed.payload.secret not in str(command) and "hunter22" not in str(command)
        assert command.files["token"] == claimed.token.encode()
        assert command.argv[command.argv.index("--ca-file") + 1] == "{run}/ca.pem" and command.files["ca.pem"] == b"PEM"
    args = " ".join(run.argv)
    assert f"--callback {claimed.payload.callback} 7 --attempt 2 --token-file {{run}}/token" in args
    assert f"--timeout 59 --resource-prefix {claimed.payload.prefix} " in args
    assert "--testcases @{run}/testcases.json" in args
    assert run.results_on == (5,) and "subunit" in run.results
    assert "--resource-prefix refstack-7-1 " in " ".join(clean.argv) and "--cleanup-only" in clean.argv
    assert "--post-only /spool/x" in " ".join(post.argv)


def test_what_finds_options_is_passed_on(claimed: ClaimedAttempt, settings: WorkerSettings) -> None:
    payload = replace(claimed.payload, discover="tempestconf")
    made = Commands(("execute_test",), settings, payload, claimed.token)
    argv = made.run(Path("/env"), 60).argv
    assert argv[argv.index("--discover") + 1] == "tempestconf"
    assert "--discover" not in made.clean_up(Path("/env"), "refstack-7-1").argv
    assert "--discover" not in replace(made, payload=claimed.payload).run(Path("/env"), 60).argv


def test_what_is_known_of_the_tests_travels_in_files(claimed: ClaimedAttempt, settings: WorkerSettings) -> None:
    made = Commands(("execute_test",), settings, claimed.payload, claimed.token)
    command = made.run(Path("/env"), 60, KnownTests(b"a.B.test_c\n", {"a.B.test_c": 2.5}))
    assert "--known-tests {run}/known-tests.txt --durations {run}/durations.json" in " ".join(command.argv)
    assert command.files["known-tests.txt"] == b"a.B.test_c\n"
    assert command.files["durations.json"] == b'{"a.B.test_c": 2.5}'
    assert not {"--known-tests", "--durations"} & set(made.run(Path("/env"), 60).argv)


def test_a_ca_file_that_is_not_there_is_the_nodes_trouble(claimed: ClaimedAttempt, settings: WorkerSettings) -> None:
    broken = replace(settings, server=ServerLinkSettings(ca_file="/no/ca.pem"))
    with pytest.raises(RunError, match="/no/ca.pem"):
        Commands(("execute_test",), broken, claimed.payload, claimed.token).run(Path("/env"), 60)


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


@pytest.mark.parametrize(("grace", "passed_on"), [(1.5, "1"), (30.0, "29.5"), (0.2, "0")])
def test_stop_grace_reaches_execute_test(
    claimed: ClaimedAttempt, settings: WorkerSettings, grace: float, passed_on: str
) -> None:
    patient = replace(settings, run=replace(settings.run, stop_grace=grace))
    made = Commands(("execute_test",), patient, claimed.payload, claimed.token)
    for command in (made.run(Path("/env"), 60), made.clean_up(Path("/env"), "refstack-7-1")):
        assert command.argv[command.argv.index("--stop-grace") + 1] == passed_on
        assert command.grace == grace
