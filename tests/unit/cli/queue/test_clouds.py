"""``refstack-queue cloud …``: what is sent to the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.cli.queue.main import main
from tests.support import http_server
from tests.support.http_server import Scripted, as_json

CLOUD = {"id": 7, "label": "Mine", "endpoint_v3": "https://k/v3", "test_user": "ann", "alt_user": "", "admin_user": "",
         "region": "fra", "release": "", "version": "", "keeps_passwords": True, "accounts": 0, "user_id": 1,
         "options": {"compute": {"image_ref": "i"}}, "check": {"ok": True, "said": "fine", "at": None}}  # fmt: skip
ACCOUNTS = [{"username": "u1", "password": "pw-1"}, {"username": "u2", "password": "pw-2", "roles": ["ResellerAdmin"]}]


@pytest.fixture(autouse=True)
def no_cloud_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OS_AUTH_URL", "OS_CLOUD", "REFSTACK_CLOUD_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with http_server.serving() as script:
        script.on("/v1/clouds", as_json(CLOUD, 201))
        script.on("/v1/clouds/7", as_json(CLOUD))
        script.on("/v1/clouds/7/check", as_json(CLOUD))
        yield script


@pytest.fixture
def accounts(tmp_path: Path) -> str:
    file = tmp_path / "accounts.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(ACCOUNTS))
    return str(file)


def call(server: Scripted, folder: Path, *words: str) -> int:
    (folder / "token").write_text("t" * 20)
    (folder / "token").chmod(0o600)
    return main(["--url", server.url, "--token-file", str(folder / "token"), "cloud", *words])


def sent(server: Scripted, method: str, path: str) -> Any:
    (body,) = [json.loads(one.body) for one in server.asked if (one.method, one.path) == (method, path)]
    return body


def test_accounts_are_kept_with_a_new_cloud(server: Scripted, tmp_path: Path, accounts: str) -> None:
    assert call(server, tmp_path, "create", "Mine", "https://k", "--accounts-file", accounts) == 0
    body = sent(server, "POST", "/v1/clouds")
    assert body == {"label": "Mine", "endpoint_v3": "https://k", "accounts": ACCOUNTS}
    assert sent(server, "POST", "/v1/clouds/7/check")["conf_json"]["account.2"]["password"] == "pw-2"


def test_a_cloud_of_openrc(server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rc = {"AUTH_URL": "https://k:5000", "USERNAME": "ann", "PASSWORD": "pw", "PROJECT_NAME": "p", "REGION_NAME": "fra",
          "USER_DOMAIN_NAME": "LDAP", "PROJECT_DOMAIN_NAME": "Default"}  # fmt: skip
    for name, value in rc.items():
        monkeypatch.setenv(f"OS_{name}", value)
    assert call(server, tmp_path, "create", "Mine") == 0
    options = {"project_name": "p", "user_domain_name": "LDAP", "project_domain_name": "Default"}
    assert sent(server, "POST", "/v1/clouds") == {
        "label": "Mine", "endpoint_v3": "https://k:5000", "test_user": "ann", "region": "fra",
        "conf_json": {"identity": options},
    }  # fmt: skip
    assert sent(server, "POST", "/v1/clouds/7/check") == {"conf_json": {"identity": {**options, "password": "pw"}}}


def test_a_cloud_of_clouds_yaml_with_its_password(
    server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text("clouds: {mine: {auth: {auth_url: 'https://k/v3', username: ann, password: pw}}}\n")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    assert call(server, tmp_path, "create", "Mine", "--os-cloud", "mine", "--keep-password") == 0
    assert sent(server, "POST", "/v1/clouds") == {
        "label": "Mine", "endpoint_v3": "https://k/v3", "test_user": "ann",
        "conf_json": {"identity": {"password": "pw"}},
    }  # fmt: skip


def test_an_address_is_needed(server: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(server, tmp_path, "create", "Mine") == 2
    assert "KEYSTONE is missing" in capsys.readouterr().err and server.asked == []


def test_an_update_keeps_what_is_not_given(server: Scripted, tmp_path: Path, accounts: str) -> None:
    assert call(server, tmp_path, "update", "7", "--label", "Other", "--accounts-file", accounts) == 0
    assert sent(server, "PUT", "/v1/clouds/7") == {
        "label": "Other", "endpoint_v3": "https://k/v3", "region": "fra", "test_user": "ann",
        "conf_json": {"compute": {"image_ref": "i"}}, "accounts": ACCOUNTS,
    }  # fmt: skip


def test_an_update_can_forget(server: Scripted, tmp_path: Path) -> None:
    assert call(server, tmp_path, "update", "7", "--forget-accounts") == 0
    assert sent(server, "PUT", "/v1/clouds/7")["accounts"] == []
    assert sent(server, "POST", "/v1/clouds/7/check") == {}


def test_a_file_that_others_can_read_is_refused(server: Scripted, tmp_path: Path, accounts: str) -> None:
    Path(accounts).chmod(0o644)
    assert call(server, tmp_path, "update", "7", "--accounts-file", accounts) == 2
    assert "PUT" not in [one.method for one in server.asked]
