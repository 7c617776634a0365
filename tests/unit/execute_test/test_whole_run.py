"""A whole call of the program: against a cloud and a server over real HTTP, with a program in Tempest's place."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.execute_test import programs
from refstack_worker.execute_test.log import LOG
from refstack_worker.execute_test.main import main
from refstack_worker.execute_test.tempest.conf import read_conf
from tests.support.http_server import Scripted, as_json, serving
from tests.support.keystone_standin import ADMIN_PASSWORD, KeystoneStandin, keystone_standin
from tests.support.tempest_standin import tempest_standin
from tests.unit.execute_test.tempest.streams import written

PASSED = written(
    {"test_id": "m.C.test_a[id-1]", "test_status": "inprogress"},
    {"test_id": "m.C.test_a[id-1]", "file_name": "log", "file_bytes": f"sent {ADMIN_PASSWORD}".encode(), "eof": True},
    {"test_id": "m.C.test_a[id-1]", "test_status": "success"},
)
FAILED = PASSED + written({"test_id": "m.C.test_b", "test_status": "fail"})


@pytest.fixture
def cloud() -> Iterator[KeystoneStandin]:
    with keystone_standin() as running:
        yield running


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serving() as script:
        yield script


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Signals, time limit and log handlers are put back."""
    handlers, signals = list(LOG.handlers), {each: signal.getsignal(each) for each in programs._SIGNALS}
    LOG.handlers[:] = []
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for handler in LOG.handlers:
        handler.close()
    LOG.handlers[:] = handlers
    for each, action in signals.items():
        signal.signal(each, action)


def words(tmp_path: Path, cloud: KeystoneStandin, home: Path, *more: str) -> list[str]:
    return ["--progress", "json", "--conf-json", json.dumps(cloud.conf()), "--tempest-home", str(home),
            "--workdir", str(tmp_path / "work"), "--resource-prefix", "refstack-7-2", *more]  # fmt: skip


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("stream", "status", "code", "reason"),
    [(PASSED, 0, 0, "passed"), (FAILED, 1, 1, "tests-failed"), (b"", 1, 4, "tempest"), (PASSED, 3, 4, "tempest")],
    ids=["passed", "failed", "nothing", "broke"],
)
def test_how_a_run_ends(
    tmp_path: Path, cloud: KeystoneStandin, capsys: pytest.CaptureFixture[str], stream: bytes, status: int, code: int,
    reason: str,
) -> None:  # fmt: skip
    home = tempest_standin(tmp_path / "tempest", stream, status, noise="an error of Tempest", listing="m.C.test_a\n")
    assert main(words(tmp_path, cloud, home, "--testcases", "m.C")) == code
    end = events(capsys)[-1]
    assert (end["event"], end["exit_code"], end["reason"]) == ("end", code, reason)
    summary = json.loads((tmp_path / "work" / "summary.json").read_text())
    assert (summary["reason"], summary["cpid"], summary["tempest_version"]) == (reason, "id-identity", "47.0.0")
    counts = {name: summary["counts"][name] for name in ("passed", "failed")}
    assert counts == {"passed": 1 if stream else 0, "failed": 1 if stream == FAILED else 0}
    kept = (tmp_path / "work" / "subunit").read_bytes()
    assert ADMIN_PASSWORD.encode() not in kept and len(kept) == len(stream)
    assert not (tmp_path / "work" / "tempest.conf").exists()
    assert ADMIN_PASSWORD not in (tmp_path / "work" / "execute_test.log").read_text()


def test_configuration_that_tempest_gets(
    tmp_path: Path, cloud: KeystoneStandin, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tempest_standin(tmp_path / "tempest", PASSED)
    assert main(words(tmp_path, cloud, home, "--keep")) == 0
    conf = read_conf(tmp_path / "work" / "tempest.conf")
    assert conf["auth"]["admin_project_name"] == "demo" and conf["auth"]["admin_password"] == ADMIN_PASSWORD
    assert conf["identity"]["region"] == "R1" and conf["identity"]["uri_v3"] == cloud.url
    assert (conf["service_available"]["swift"], conf["service_available"]["nova"]) == ("True", "False")
    assert conf["object-storage"]["operator_role"] == "member"
    assert conf["DEFAULT"]["resource_name_prefix"] == "refstack-7-2"
    assert json.loads((tmp_path / "work" / "before.json").read_text())["prefix"] == "refstack-7-2-"
    capsys.readouterr()


def test_ordinary_users_go_into_an_accounts_file(
    tmp_path: Path, cloud: KeystoneStandin, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tempest_standin(tmp_path / "tempest", PASSED)
    conf = {"identity": {"uri_v3": cloud.url, "username": "one", "password": ADMIN_PASSWORD, "project_name": "demo",
                         "alt_username": "two", "alt_password": ADMIN_PASSWORD}}  # fmt: skip
    assert main([*words(tmp_path, cloud, home, "--keep"), "--conf-json", json.dumps(conf)]) == 0
    written_conf = read_conf(tmp_path / "work" / "tempest.conf")
    assert written_conf["auth"]["use_dynamic_credentials"] == "False" and "username" not in written_conf["identity"]
    accounts = json.loads(Path(written_conf["auth"]["test_accounts_file"]).read_text())
    assert [(each["username"], each["project_name"], each["roles"]) for each in accounts] == [
        ("one", "demo", ["member"]), ("two", "demo", ["member"])
    ]  # fmt: skip
    capsys.readouterr()


def test_a_run_for_a_server(
    tmp_path: Path, cloud: KeystoneStandin, server: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on("/get-miniconf", as_json({"identity": {"uri": cloud.url}}))
    server.on("/get-testcases", as_json({"testcases": ["m.C"]}))
    server.on("/post-result", as_json({"message": "thank you"}, 201))
    home = tempest_standin(tmp_path / "tempest", FAILED, 1)
    assert main(words(tmp_path, cloud, home, "--callback", server.url, "7")) == 1
    assert [asked.path.partition("?")[0] for asked in server.asked] == [
        "/get-miniconf", "/get-testcases", "/post-result"
    ]  # fmt: skip
    states = [event["state"] for event in events(capsys) if event["event"] == "state"]
    assert states == ["running", "posting"]


def test_a_cloud_that_rejects_the_password(
    tmp_path: Path, cloud: KeystoneStandin, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tempest_standin(tmp_path / "tempest", PASSED)
    conf = json.dumps({"auth": {"admin_username": "admin", "admin_password": "wr0ng-password"},
                       "identity": {"uri_v3": cloud.url}})  # fmt: skip
    assert main([*words(tmp_path, cloud, home), "--conf-json", conf]) == 3
    end = events(capsys)[-1]
    assert end["reason"] == "cloud" and "rejects the user admin" in end["message"]
    assert "wr0ng-password" not in json.dumps(end)


class TestCleanup:
    def test_what_carries_the_prefix_goes(
        self, tmp_path: Path, cloud: KeystoneStandin, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cloud.resources["projects"].update(p1="refstack-7-2-x", p2="refstack-7-20-x", p3="tempest-OtherTest-1")
        cloud.resources["users"].update(u1="refstack-7-2-x", u2="someone")
        cloud.containers["p0"] = {"refstack-7-2-box": ["a", "b"], "mine": ["c"]}
        cloud.containers["p1"] = {"any": ["d"]}
        home = tempest_standin(tmp_path / "tempest", b"")
        assert main(words(tmp_path, cloud, home, "--cleanup-only")) == 0
        assert set(cloud.resources["projects"]) == {"p0", "p2", "p3"}
        assert set(cloud.resources["users"]) == {"u2"}
        assert cloud.containers["p0"] == {"mine": ["c"]} and not cloud.containers["p1"]
        messages = [event["text"] for event in events(capsys) if event["event"] == "message"]
        assert "removed project refstack-7-2-x" in messages
        assert any("left in place" in text and "tempest-OtherTest-1" in text for text in messages)

    def test_what_the_log_of_the_run_shows_goes_too(
        self,
        tmp_path: Path,
        cloud: KeystoneStandin,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("refstack_worker.execute_test.cloud.cleanup.leftovers.ORPHAN_SECONDS", 0)
        project, user = "a" * 32, "b" * 32
        cloud.resources["projects"].update({project: "tempest-MyTest-1", "orphan": "tempest-MyTest-2",
                                            "foreign": "tempest-MyTest-3", "earlier": "tempest-MyTest-4"})  # fmt: skip
        cloud.resources["users"].update({user: "tempest-MyTest-1-project", "v": "tempest-MyTest-2-project"})
        cloud.assigned = {"foreign"}
        work = tmp_path / "work"
        work.mkdir()
        (work / "before.json").write_text(json.dumps({"prefix": "refstack-7-2-", "projects": ["earlier"], "users": []}))
        (work / "tempest.log").write_text(
            "Request (MyTest:setUpClass): 201 POST http://k/v3/projects 0.1s\n"
            f"Request (MyTest:setUpClass): 204 PUT http://k/v3/projects/{project}/users/{user}/roles/{'c' * 32} 0s\n"
        )
        home = tempest_standin(tmp_path / "tempest", b"")
        assert main(words(tmp_path, cloud, home, "--cleanup-only")) == 0
        assert set(cloud.resources["projects"]) == {"p0", "foreign", "earlier"}
        assert cloud.resources["users"] == {}
        capsys.readouterr()

    @pytest.mark.parametrize(("before", "removed"), [([], True), (None, False), (["f" * 36], False)])
    def test_floating_ips_are_the_runs_only_if_it_is_known_which_were_there(
        self, tmp_path: Path, cloud: KeystoneStandin, before: list[str] | None, removed: bool
    ) -> None:
        cloud.more_services = {"network": f"{cloud.server.url}/network"}
        address = {"id": "f" * 36, "floating_ip_address": "192.0.2.7"}
        cloud.server.on("/network/v2.0/floatingips", as_json({"floatingips": [address]}))
        work = tmp_path / "work"
        work.mkdir()
        snapshot = {"prefix": "refstack-7-2-", "projects": [], "users": [], "floating_ips": before}
        (work / "before.json").write_text(json.dumps(snapshot))
        (work / "tempest.log").write_text(f"Request (T:test): 200 PUT http://n/v2.0/floatingips/{'f' * 36} 0s\n")
        main(words(tmp_path, cloud, tempest_standin(tmp_path / "tempest", b""), "--cleanup-only"))
        deleted = [one for one in cloud.server.asked if one.method == "DELETE" and "/floatingips/" in one.path]
        assert bool(deleted) is removed

    def test_what_cannot_be_removed_is_named(
        self, tmp_path: Path, cloud: KeystoneStandin, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cloud.resources["users"].update(u1="refstack-7-2-x")
        cloud.immortal = {"u1"}
        home = tempest_standin(tmp_path / "tempest", b"")
        assert main(words(tmp_path, cloud, home, "--cleanup-only")) == 3
        assert "user refstack-7-2-x" in events(capsys)[-1]["message"]

    def test_configuration_that_the_run_left_is_used(
        self, tmp_path: Path, cloud: KeystoneStandin, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "work").mkdir()
        (tmp_path / "work" / "tempest.conf").write_text(
            f"[identity]\nuri_v3 = {cloud.url}\n[auth]\nadmin_username = admin\nadmin_password = {ADMIN_PASSWORD}\n"
        )
        home = tempest_standin(tmp_path / "tempest", b"")
        assert main([*words(tmp_path, cloud, home, "--cleanup-only"), "--conf-json", "{}"]) == 0
        assert not (tmp_path / "work" / "tempest.conf").exists()
        capsys.readouterr()
