"""``refstack-queue cloud|guideline|vendor|user …`` against a real server over HTTP."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.cli.queue import main
from tests.system.web.site import PROGRAM, Site, furnish, guideline, serving

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture
def call(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("REFSTACK_CLOUD_PASSWORD", "pw-of-the-cloud")

    def make(who: str, *words: str) -> tuple[int, str]:
        file = tmp_path / f"token-{who}"
        file.write_text(site.tokens[who])
        status = main.main(["--url", site.url, "--token-file", str(file), *words])
        return status, capsys.readouterr().out

    return make


def rows(told: tuple[int, str]) -> Any:
    assert told[0] == 0, told
    return json.loads(told[1])


def test_accounts_are_the_operators(call: Call) -> None:
    vendor = rows(call("operator", "vendor", "create", "Delta", "-f", "json"))
    made = rows(call("operator", "user", "create", "dan", "--vendor", str(vendor["id"]), "-f", "json"))
    assert made["vendor_id"] == vendor["id"]
    assert [one["Name"] for one in rows(call("operator", "user", "list", "-f", "json"))] == ["ann", "bob", "dan"]
    assert "Delta" in [one["Name"] for one in rows(call("operator", "vendor", "list", "-f", "json"))]
    assert call("ann", "vendor", "list")[0] != 0


def test_a_cloud_is_entered_and_looked_at_and_shows_no_password(site: Site, call: Call) -> None:
    words = ("cloud", "create", "Mine", f"{site.url}/v3", "--user", "interop", "--keep-password", "-f", "json")
    made = rows(call("ann", *words))
    assert made["keeps_passwords"] and made["check"].startswith("not good")
    (row,) = rows(call("ann", "cloud", "list", "-f", "json"))
    assert row["Label"] == "Mine" and "pw-of-the-cloud" not in json.dumps([made, row])
    assert rows(call("bob", "cloud", "list", "-f", "json")) == []
    assert site.ledger.clouds.saved_conf(made["id"]) == {"identity": {"password": "pw-of-the-cloud"}}


EVERYBODY = ("--user", "one", "--project", "p", "--alt-user", "two", "--alt-project", "q", "--admin-user", "root")
WITH_PASSWORDS = {
    "identity": {"password": "pw-of-the-cloud", "project_name": "p", "alt_password": "pw-2", "alt_project_name": "q"},
    "auth": {"admin_password": "pw-3"},
}


def passwords_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    file = tmp_path / "passwords"
    file.touch(0o600)
    file.write_text("identity.alt_password=pw-2\nauth.admin_password = pw-3\n")
    return "--password-file", str(file)


def passwords_in_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setenv("REFSTACK_CLOUD_ALT_PASSWORD", "pw-2")
    monkeypatch.setenv("REFSTACK_CLOUD_ADMIN_PASSWORD", "pw-3")
    return ()


def passwords_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    answers = {"Password of two: ": "pw-2", "Password of root: ": "pw-3"}
    monkeypatch.setattr(getpass, "getpass", answers.__getitem__)
    return ()


@pytest.mark.parametrize("way", [passwords_in_a_file, passwords_in_variables, passwords_asked_for])
def test_a_cloud_has_a_second_user_and_an_administrator(
    way: Callable[..., tuple[str, ...]], site: Site, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("cloud", "create", "All", f"{site.url}/v3", *EVERYBODY, *way(tmp_path, monkeypatch))
    made = rows(call("ann", *words, "--keep-password", "-f", "json"))
    assert (made["test_user"], made["alt_user"], made["admin_user"]) == ("one", "two", "root")
    assert site.ledger.clouds.saved_conf(made["id"]) == WITH_PASSWORDS


def test_a_password_file_that_others_can_read_is_refused(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_text("identity.password=x\n")
    file.chmod(0o644)
    words = ("cloud", "create", "All", "https://x.example/v3", "--user", "one", "--password-file", str(file))
    assert call("ann", *words)[0] == 2
    assert rows(call("ann", "cloud", "list", "-f", "json")) == []


def test_a_run_by_guideline_its_verdict_and_its_files(site: Site, call: Call, tmp_path: Path) -> None:
    ids = furnish(site)
    file = tmp_path / "guideline.json"
    file.write_text(guideline("2027.01"))
    assert rows(call("ann", "guideline", "add", str(file), "-f", "json"))["name"] == "2027.01"
    listed = rows(call("ann", "guideline", "list", "-f", "json"))
    assert {"Guideline": "2027.01", "Program": PROGRAM, "Required tests": 24, "Id": 2, "Origin": "own"} in listed
    words = ("--tempest-version", "47.0.0", "--guideline", "2027.01", "--program", PROGRAM)
    made = rows(call("ann", "run", "create", *words, "-f", "json"))
    assert len(made["testcases"]["names"]) == 24

    status, text = call("ann", "run", "verdict", str(ids["judged"]))
    assert status == 1 and "20 of 24 required tests passed" in text
    assert "objectstore-temp-url-get: failed: tempest.api.object_storage" in text
    assert call("ann", "run", "verdict", str(ids["judged"] - 1))[0] == 0
    assert call("ann", "run", "export", str(ids["judged"]), "junit", str(tmp_path / "out.xml"))[0] == 0
    assert (tmp_path / "out.xml").read_text().count("<failure") == 4
    assert call("bob", "run", "verdict", str(ids["judged"]))[0] == 6


def test_demand(site: Site, call: Call) -> None:
    furnish(site)
    (row,) = rows(call("operator", "worker", "demand", "-f", "json"))
    assert (row["Waiting"], row["Running"], row["Slots"], row["Needed"]) == (1, 1, 4, 0)
