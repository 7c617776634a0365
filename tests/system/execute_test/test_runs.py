"""execute_test with a real Tempest against a real Keystone and Swift."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.census import added, census
from tests.support.http_server import Reply, as_json, serving
from tests.support.run_traces import below, files, results, wait_for_progress
from tests.system.execute_test.conftest import Caller, Cloud, Options, Ran, cache_folder

ACCOUNT = "tempest.api.object_storage.test_account_services.AccountTest"
CONTAINER = "tempest.api.object_storage.test_container_services.ContainerTest"
OBJECTS = "tempest.api.object_storage.test_object_services"
TEMP_URL = "tempest.api.object_storage.test_object_temp_url.ObjectTempUrlTest"
SEVERAL = (ACCOUNT, CONTAINER, f"{TEMP_URL}.test_get_object_using_temp_url")
ONE = (f"{CONTAINER}.test_create_container",)
TOKENS = "tempest.api.identity.v3.test_tokens"


@contextlib.contextmanager
def frozen(cloud: Cloud, service: str) -> Iterator[None]:
    """A service that takes connections and answers nothing."""
    pid = cloud.services.pids[service][0]
    os.killpg(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(pid, signal.SIGCONT)


def test_same_as_by_hand(cloud: Cloud, caller: Caller) -> None:
    ran = caller.run(cloud.tempest_conf(), "--testcases", *SEVERAL, "--concurrency", "2")
    assert ran.code == 0, ran.stderr
    by_hand = run_by_hand(cloud, caller, SEVERAL)
    assert results((ran.workdir / "subunit").read_bytes()) == by_hand
    assert ran.summary["counts"] == {"total": len(by_hand), "done": len(by_hand), "passed": len(by_hand),
                                     "failed": 0, "skipped": 0}  # fmt: skip
    assert ran.summary["cpid"] == identity_service(cloud)
    assert [event["state"] for event in ran.events if event["event"] == "state"] == ["running"]
    last = [event for event in ran.events if event["event"] == "progress"][-1]
    assert (last["done"], last["total"], last["passed"]) == (len(by_hand), len(by_hand), len(by_hand))


def run_by_hand(cloud: Cloud, caller: Caller, tests: tuple[str, ...]) -> dict[str, str]:
    """What a person would do: a configuration, a list, ``tempest run``."""
    folder = caller.folder / "by-hand"
    folder.mkdir()
    conf = {**cloud.tempest_conf(), "service_available": {"swift": True, "nova": False, "glance": False,
            "cinder": False, "neutron": False}, "oslo_concurrency": {"lock_path": str(folder)}}  # fmt: skip
    text = "".join(f"[{section}]\n" + "".join(f"{name} = {plain(value)}\n" for name, value in options.items())
                   for section, options in conf.items())  # fmt: skip
    (folder / "tempest.conf").write_text(text)
    (folder / "list").write_text("".join(f"^{test}\\b\n" for test in tests))
    done = subprocess.run(
        [caller.tempest_home / "bin" / "tempest", "run", "--config-file", "tempest.conf", "--include-list", "list",
         "--concurrency", "2", "--subunit"],
        cwd=folder, capture_output=True, env={"PATH": "/usr/bin:/bin", "HOME": str(folder)}, timeout=300,
    )  # fmt: skip
    return {test: status for test, status in results(done.stdout).items() if "garbage" not in test}


def plain(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def identity_service(cloud: Cloud) -> str:
    found: list[dict[str, Any]] = cloud.session().keystone("GET", "/services?type=identity")["services"]
    return str(found[0]["id"])


def test_copied_alone_it_discovers_and_runs(cloud: Cloud, caller: Caller, tmp_path: Path) -> None:
    """One file in an empty folder; only address, name and password are given."""
    (tmp_path / "alone").mkdir()
    caller.program = Path(shutil.copy(caller.program, tmp_path / "alone" / "execute_test"))
    conf = {"identity": {"uri": f"{cloud.auth_url[:-3]}/v2.0"},
            "auth": {"admin_username": "admin", "admin_password": cloud.admin_password}}  # fmt: skip
    ran = caller.run(conf, "--keep", "--testcases", *ONE)
    assert ran.code == 0, ran.stderr
    written = (ran.workdir / "tempest.conf").read_text()
    for line in ("admin_project_name = admin", "admin_domain_name = Default", "region = RegionOne", "swift = True",
                 "nova = False", f"uri_v3 = {cloud.auth_url}", "operator_role = member"):  # fmt: skip
        assert line in written.splitlines()


def test_environment_mode(cloud: Cloud, caller: Caller) -> None:
    caller.env = {"OS_AUTH_URL": cloud.auth_url, "OS_USERNAME": "admin", "OS_PASSWORD": cloud.admin_password,
                  "OS_TENANT_NAME": "admin"}  # fmt: skip
    ran = caller.run({}, "--env", "--testcases", *ONE)
    assert (ran.code, ran.summary["counts"]["passed"]) == (0, 1), ran.stderr


def test_found_by_id_whatever_the_name(cloud: Cloud, caller: Caller) -> None:
    renamed = "some.older.Name.test_x[id-92139d73-7819-4db1-85f8-3f2f22a8d91f]"
    gone = "id-00000000-7819-4db1-85f8-3f2f22a8d91f"
    ran = caller.run(cloud.tempest_conf(), "--testcases", renamed, gone)
    assert (ran.code, ran.summary["counts"]["passed"]) == (0, 1), ran.stderr
    assert any(gone in text for text in ran.messages)


def test_given_is_never_overwritten(cloud: Cloud, caller: Caller) -> None:
    conf = cloud.tempest_conf()
    conf["service_available"] = {"swift": False}
    ran = caller.run(conf, "--testcases", *ONE)
    assert (ran.code, ran.end["reason"]) == (3, "cloud")
    assert "skipped" in ran.end["message"]


def test_ordinary_users_in_place_of_an_administrator(cloud: Cloud, caller: Caller) -> None:
    session = cloud.session()
    roles = {each["name"]: each["id"] for each in session.keystone("GET", "/roles")["roles"]}
    made = []
    for name in ("first", "second"):
        project = session.keystone("POST", "/projects", {"project": {"name": name, "domain_id": "default"}})["project"]
        body = {"user": {"name": name, "password": f"{name}-Pa$$word", "domain_id": "default"}}
        user = session.keystone("POST", "/users", body)["user"]
        session.keystone("PUT", f"/projects/{project['id']}/users/{user['id']}/roles/{roles['member']}")
        made += [f"/users/{user['id']}", f"/projects/{project['id']}"]
    identity = {"uri": cloud.auth_url, "username": "first", "password": "first-Pa$$word", "alt_username": "second",
                "alt_password": "second-Pa$$word"}  # fmt: skip
    ran = caller.run({"identity": identity}, "--testcases", *ONE, "--concurrency", "1")
    for path in made:
        session.keystone("DELETE", path)
    assert ran.code == 0, (ran.end, ran.stderr)
    assert_nowhere(ran, "first-Pa$$word", b"second-Pa$$word")


def test_failed_tests_are_1(cloud: Cloud, caller: Caller, tmp_path: Path) -> None:
    with Cloud(tmp_path / "cloud", Options(cache_folder(), without=("tempurl",))) as lacking:
        ran = caller.run(lacking.tempest_conf(), "--testcases", TEMP_URL, *ONE)
    assert (ran.code, ran.end["reason"]) == (1, "tests-failed"), ran.stderr
    counts = ran.summary["counts"]
    assert counts["failed"] > 0 and counts["passed"] >= 1
    assert set(results((ran.workdir / "subunit").read_bytes()).values()) >= {"fail", "success"}


def test_cloud_without_object_store(caller: Caller, tmp_path: Path) -> None:
    with Cloud(tmp_path / "cloud", Options(cache_folder())) as lacking:
        lacking.forget_swift()
        ran = caller.run(lacking.tempest_conf(), "--testcases", *ONE)
        mixed = caller.run(lacking.tempest_conf(), "--testcases", *ONE, TOKENS)
    assert (ran.code, ran.end["reason"]) == (3, "cloud"), ran.stderr
    assert "catalogue lacks" in ran.end["message"] and "swift" in ran.end["message"]
    assert mixed.code == 0 and mixed.summary["counts"]["skipped"] == 1
    assert "swift" in mixed.end["message"]


def test_wrong_password_and_nobody_there(cloud: Cloud, caller: Caller) -> None:
    conf = cloud.tempest_conf()
    conf["auth"]["admin_password"] = "not-the-password-at-all"
    ran = caller.run(conf, "--testcases", *ONE)
    assert (ran.code, ran.end["reason"]) == (3, "cloud")
    assert "rejects the user admin" in ran.end["message"]
    assert_nowhere(ran, "not-the-password-at-all")
    with serving() as gone:
        pass
    conf["identity"]["uri_v3"] = f"{gone.url}/v3"
    ran = caller.run(conf, "--testcases", *ONE)
    assert ran.code == 3 and "refused" in ran.end["message"]
    assert not (ran.workdir / "tempest.conf").exists()


@pytest.mark.parametrize("reply", [Reply(200, b"<html/>", {"Content-Type": "text/html"}), as_json({"version": 3})])
def test_keystone_that_is_something_else(caller: Caller, cloud: Cloud, reply: Reply) -> None:
    conf = cloud.tempest_conf()
    with serving() as other:
        other.otherwise = lambda asked: reply
        conf["identity"]["uri_v3"] = other.url
        ran = caller.run(conf, "--testcases", *ONE)
    assert ran.code == 3 and "does not respond like Keystone v3" in ran.end["message"]


def test_nothing_selected_and_no_tempest(cloud: Cloud, caller: Caller, tmp_path: Path) -> None:
    ran = caller.run(cloud.tempest_conf(), "--testcases", "tempest.api.no_such_thing")
    assert (ran.code, ran.end["reason"]) == (2, "bad-input")
    caller.tempest_home = tmp_path
    ran = caller.run(cloud.tempest_conf(), "--testcases", *ONE)
    assert (ran.code, ran.end["reason"]) == (4, "tempest")


def test_list_is_made_where_something_is_in_doubt_and_not_for_a_short_run(cloud: Cloud, caller: Caller) -> None:
    ran = caller.run(cloud.tempest_conf(), "--testcases", *ONE)
    assert (ran.code, ran.summary["counts"]["total"]) == (0, 1)
    assert "--list-tests" not in (ran.workdir / "execute_test.log").read_text()
    ran = caller.run(cloud.tempest_conf(), "--testcases", *ONE, f"{CONTAINER}.test_nobody_wrote")
    assert (ran.code, ran.summary["counts"]["total"]) == (0, 1)
    assert any("1 test cases are not in Tempest" in told and "test_nobody_wrote" in told for told in ran.messages)


def test_result_goes_to_the_server(cloud: Cloud, caller: Caller, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret-of-the-attempt")
    conf = cloud.tempest_conf()
    password = conf["auth"].pop("admin_password")
    with serving() as server:
        server.on(
            "/get-miniconf", as_json({"identity": {"region": "overridden"}, "auth": {"admin_password": password}})
        )
        server.on("/get-testcases", as_json({"testcases": list(ONE)}))
        server.on("/post-result", Reply(cut=100), as_json({"message": "thank you"}, 201))
        ran = caller.run(conf, "-callback", server.url, "7", "--attempt", "2", "--token-file", str(tmp_path / "token"))
        paths = [asked.path for asked in server.asked]
    assert ran.code == 0, ran.stderr
    assert paths == ["/get-miniconf?test_id=7", "/get-testcases?test_id=7", *["/post-result?test_id=7&attempt=2"] * 2]
    assert (ran.workdir / "subunit").read_bytes() in server.asked[-1].body
    assert (ran.summary["test_id"], ran.summary["attempt"], ran.summary["exit_code"]) == (7, 2, 0)
    assert_nowhere(ran, password, b"secret-of-the-attempt")


def test_result_that_cannot_be_posted_is_kept(cloud: Cloud, caller: Caller) -> None:
    with serving() as server:
        server.on("/get-miniconf", as_json({}))
        server.on("/post-result", Reply(500, b"<html/>", {"Content-Type": "text/html"}))
        call = ("--callback", server.url, "7", "--patience", "1")
        ran = caller.run(cloud.tempest_conf(), *call, "--testcases", *ONE)
        assert (ran.code, ran.end["reason"]) == (5, "not-posted")
        server.on("/post-result", as_json({"message": "thank you"}, 201))
        again = caller.run({}, *call, "--post-only", str(ran.workdir))
        assert again.code == 0
        assert (ran.workdir / "subunit").read_bytes() in server.asked[-1].body


def test_password_is_nowhere(cloud: Cloud, caller: Caller) -> None:
    """Not in arguments or environments while it runs, in no file but the run's own 0600 ones; afterwards in none."""
    process = caller.start(cloud.tempest_conf(), "--testcases", *SEVERAL, "--concurrency", "2", "-v")
    lines = wait_for_progress(process, 1)
    password = cloud.admin_password.encode()
    for pid in [process.pid, *below(caller.folder)]:
        for name in ("cmdline", "environ"):
            try:
                assert password not in Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
    for path in files(caller.folder / "work"):
        if password in path.read_bytes():
            assert path.stat().st_mode & 0o777 == 0o600
    ran = caller.finish(process)
    ran.events = [json.loads(line) for line in lines] + ran.events
    assert ran.code == 0, ran.stderr
    assert_nowhere(ran, cloud.admin_password)
    assert sorted(path.name for path in ran.workdir.iterdir()) == [
        "before.json", "execute_test.log", "subunit", "summary.json", "tempest.log"
    ]  # fmt: skip


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, None], ids=["TERM", "KILL", "timeout"])
def test_stopped_run_leaves_nothing(cloud: Cloud, caller: Caller, how: signal.Signals | None) -> None:
    before = census(cloud)
    limit = ("--timeout", "25") if how is None else ()
    started = caller.start(
        cloud.tempest_conf(), "--testcases", OBJECTS, ACCOUNT, CONTAINER, "--concurrency", "3", *limit
    )
    wait_for_progress(started, 5)
    if how is not None:
        started.send_signal(how)
        began = time.monotonic()
        ran = caller.finish(started)
    else:
        # a fast machine would come to the end before the limit
        with frozen(cloud, "swift-proxy"):
            ran = caller.finish(started)
    if how is not None:
        assert time.monotonic() - began < 5
    if how is not signal.SIGKILL:
        assert (ran.code, ran.end["reason"]) == (7, "stopped"), ran.stderr
        assert not (ran.workdir / "tempest.conf").exists()
    deadline = time.monotonic() + 5
    while below(caller.folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert below(caller.folder) == []
    meanwhile = added(before, census(cloud))
    assert meanwhile["projects"] and meanwhile["users"] and meanwhile["containers"], "it left nothing to be removed"
    cleaned = caller.run(cloud.tempest_conf(), "--cleanup-only")
    assert cleaned.code == 0, cleaned.stderr
    left = added(before, census(cloud))
    assert not any(left.values()), left
    assert not (ran.workdir / "tempest.conf").exists()


def test_clean_up_spares_what_is_not_the_runs(cloud: Cloud, caller: Caller) -> None:
    session = cloud.session()
    names = ("refstack-7-20-Other-1", "tempest-AccountTest-99", "refstack-7-2-Mine-1", "refstack-7-2")
    for name in names:
        session.keystone("POST", "/projects", {"project": {"name": name, "domain_id": "default"}})
    ran = caller.run(cloud.tempest_conf(), "--cleanup-only")
    left = {each["name"]: each["id"] for each in session.keystone("GET", "/projects")["projects"]}
    for name in names:
        if name in left:
            session.keystone("DELETE", f"/projects/{left[name]}")
    assert ran.code == 0, ran.stderr
    assert "refstack-7-2-Mine-1" not in left
    assert {"refstack-7-20-Other-1", "tempest-AccountTest-99", "refstack-7-2", "admin", "service"} <= set(left)
    assert any("tempest-AccountTest-99" in text for text in ran.messages)


def assert_nowhere(ran: Ran, *secrets: str | bytes) -> None:
    """No secret in any file of the run, nor in its output."""
    for secret in secrets:
        raw = secret.encode() if isinstance(secret, str) else secret
        assert raw not in json.dumps(ran.events).encode() and raw not in ran.stderr.encode()
        for path in files(ran.workdir):
            assert raw not in path.read_bytes(), path
