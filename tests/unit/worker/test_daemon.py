"""Signals, changed files, and what an earlier process left. Runs are in the integration tests."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker.config import worker as config
from refstack_worker.config.worker import WorkerSettings
from refstack_worker.contract import keys
from refstack_worker.contract.node_command import NodeAction
from refstack_worker.errors import ConfigError
from refstack_worker.worker import daemon as daemons
from refstack_worker.worker.admission.admission import NodeState
from refstack_worker.worker.attempt.outcome import AttemptOutcome, OutcomeKind
from refstack_worker.worker.daemon import RESTART_STATUS, Daemon
from refstack_worker.worker.server_api.attempts import ClaimedAttempt
from refstack_worker.worker.spool.spool import RELEASE, RESULT, SpoolEntry
from tests.support.wheel_files import make_version


@pytest.fixture
def file(tmp_path: Path, claimed: ClaimedAttempt) -> Path:
    """A worker.toml with the keys for which ``claimed`` is sealed."""
    make_version(tmp_path / "locks", "47.0.0")
    file = tmp_path / "worker.toml"
    file.write_text(
        f"""
[node]
name = "node-1"
slots = 2
state_folder = "{tmp_path}/state"
runtime_folder = "{tmp_path}/run"
[server]
urls = ["{claimed.payload.callback}"]
[keys]
fleet_private = "{tmp_path}/fleet.key"
server_public = "{tmp_path}/sign.pub"
[run]
runner = "embedded"
folder = "{tmp_path}/runs"
environments = "{tmp_path}/environments"
[environments]
store = "{tmp_path}/store"
lock_folders = ["{tmp_path}/locks"]
interpreters = ["{sys.executable}"]
[limits]
min_free_mb = 1
"""
    )
    return file


@pytest.fixture
def daemon(file: Path) -> Iterator[Daemon]:
    yield Daemon(config.load(file), "1.0")


def commands(daemon: Daemon) -> dict[str, object]:
    return {name: command() for name, command in daemon._commands().items() if name in ("status", "health")}


def test_versions_are_found_and_shown(daemon: Daemon) -> None:
    daemon._versions.look_again()
    daemon._check()
    status = commands(daemon)["status"]
    assert isinstance(status, dict) and status["versions"] == ["47.0.0"] and len(status["slots"]) == 2


@pytest.mark.parametrize(
    ("signum", "exit_status", "state", "stopping"),
    [
        (signal.SIGUSR1, 0, NodeState.DRAINING, False),
        (signal.SIGUSR2, RESTART_STATUS, NodeState.DRAINING, False),
        (signal.SIGTERM, 0, NodeState.READY, True),
    ],
)
def test_each_signal(daemon: Daemon, signum: int, exit_status: int, state: NodeState, stopping: bool) -> None:
    daemon._obey(signum)
    assert (daemon._exit_status, daemon._admission.state, daemon._admission.stopping) == (exit_status, state, stopping)


@pytest.mark.parametrize(
    ("action", "state"),
    [
        (NodeAction.PAUSE, NodeState.PAUSED),
        (NodeAction.DRAIN, NodeState.DRAINING),
        (NodeAction.RESUME, NodeState.READY),
    ],
)
def test_what_a_server_may_ask(daemon: Daemon, action: NodeAction, state: NodeState, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    daemon._act(action)
    assert daemon._admission.state is state
    if action is NodeAction.PAUSE:
        daemon._act(NodeAction.RESUME)
        assert daemon._admission.is_open


def test_a_drained_node_stays_down_whatever_an_upgrade_asks_for(daemon: Daemon) -> None:
    daemon._obey(signal.SIGUSR1)
    daemon._obey(signal.SIGUSR2)
    assert daemon._exit_status == 0


def test_a_stop_wins_over_a_restart(daemon: Daemon) -> None:
    daemon._obey(signal.SIGUSR2)
    daemon._obey(signal.SIGTERM)
    assert daemon._exit_status == 0 and daemon._admission.stopping


class TestReload:
    @pytest.fixture(autouse=True)
    def under_systemd(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NOTIFY_SOCKET", "/no/such/socket")

    def test_nothing_changed(self, daemon: Daemon) -> None:
        daemon._reload()
        assert daemon._admission.is_open

    def test_changed_settings_restart_it_when_the_runs_are_done(self, daemon: Daemon, file: Path) -> None:
        file.write_text(file.read_text().replace("slots = 2", "slots = 3"))
        daemon._reload()
        assert daemon._exit_status == RESTART_STATUS and daemon._admission.state is NodeState.DRAINING

    def test_new_keys_restart_it_too(self, daemon: Daemon, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        keys.generate_pair("seal", tmp_path / "fleet.key", tmp_path / "fleet.pub")
        with caplog.at_level("INFO", logger="refstack_worker"):
            daemon._reload()
        assert daemon._exit_status == RESTART_STATUS and "the keys changed: restarting" in caplog.text

    def test_a_wrong_file_changes_nothing(self, daemon: Daemon, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        file.write_text(file.read_text().replace("slots = 2", "slots = 0"))
        daemon._reload()
        assert daemon._admission.is_open
        assert "node.slots must be" in caplog.text and "old settings and keys stay in effect" in caplog.text

    def test_without_systemd_it_only_says_so(
        self, daemon: Daemon, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.delenv("NOTIFY_SOCKET")
        file.write_text(file.read_text().replace("slots = 2", "slots = 3"))
        daemon._reload()
        assert daemon._admission.is_open and "restart the worker to apply them" in caplog.text


class TestSweep:
    def test_an_interrupted_attempt_is_released_through_the_spool(
        self, daemon: Daemon, claimed: ClaimedAttempt
    ) -> None:
        services = daemon._services
        services.claims.prepare()
        services.claims.write(claimed)
        daemon._sweep()
        (entry,) = services.spool.entries()
        assert (entry.kind, entry.run, entry.claim) == (RELEASE, "7:2", claimed.claim)
        assert services.claims.left(services.opener) == []

    def test_an_attempt_whose_result_is_spooled_is_not_released(self, daemon: Daemon, claimed: ClaimedAttempt) -> None:
        services = daemon._services
        services.spool.prepare()
        services.claims.prepare()
        services.claims.write(claimed)
        with services.spool.writer(claimed) as writer:
            writer.write("subunit", b"x")
            writer.keep(SpoolEntry.of(claimed, RESULT))
        daemon._sweep()
        assert [entry.kind for entry in services.spool.entries()] == [RESULT]

    def test_folders_with_secrets_go(self, daemon: Daemon, tmp_path: Path) -> None:
        for folder in ("runs/run-7-2-x", "environments/old"):
            (tmp_path / folder).mkdir(parents=True)
            (tmp_path / folder / "token").write_text("s3cret")
        daemon._sweep()
        assert not list(tmp_path.glob("runs/*")) and not list(tmp_path.glob("environments/*"))


def test_a_full_disk_is_noticed_and_forgotten(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemons.disk_space, "lack_of_space", lambda *_: "/store: 3 MiB free")
    daemon._check()
    daemon._check()
    assert daemon._admission.problem == "/store: 3 MiB free"
    status = commands(daemon)["status"]
    assert isinstance(status, dict) and [error["reason"] for error in status["last_errors"]] == ["disk"]
    monkeypatch.setattr(daemons.disk_space, "lack_of_space", lambda *_: "")
    daemon._check()
    assert daemon._admission.is_open


def test_a_state_folder_is_one_workers(settings: WorkerSettings, tmp_path: Path) -> None:
    with daemons._exclusive(tmp_path / "state"):
        with pytest.raises(ConfigError, match="in use by another worker"), daemons._exclusive(tmp_path / "state"):
            pass
    with daemons._exclusive(tmp_path / "state"):
        pass


def test_settings_without_a_server_are_refused(file: Path) -> None:
    settings = config.load(file)
    with pytest.raises(ConfigError, match="server.urls is empty"):
        Daemon(replace(settings, server=replace(settings.server, urls=())), "1.0")


def test_an_outcome_is_counted(daemon: Daemon) -> None:
    daemon._run_ended(AttemptOutcome(OutcomeKind.POSTED), 1.0)
    status = commands(daemon)["status"]
    assert isinstance(status, dict) and status["ended"] == {"posted": 1}
