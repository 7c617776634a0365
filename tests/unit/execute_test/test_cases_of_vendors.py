"""What vendors gave and what went wrong with it in public reports: each is a whole call of the program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.execute_test.main import main
from refstack_worker.execute_test.tempest.conf import Conf, read_conf
from tests.support.http_server import Scripted
from tests.support.keystone_standin import ADMIN_PASSWORD, KeystoneStandin, keystone_standin
from tests.support.tempest_standin import tempest_standin
from tests.unit.execute_test.tempest.streams import written
from tests.unit.execute_test.test_whole_run import as_it_was

__all__ = ["as_it_was"]

TEST = "m.C.test_a"
PASSED = written({"test_id": TEST, "test_status": "inprogress"}, {"test_id": TEST, "test_status": "success"})
USER = {"username": "tester", "password": ADMIN_PASSWORD, "project_name": "demo"}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeystoneStandin]:
    for name in [name for name in os.environ if name.startswith("OS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with keystone_standin() as running:
        yield running


class Call:
    """One call in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = tempest_standin(folder / "tempest", PASSED, listing=f"{TEST}\n")

    def __call__(self, *words: str) -> int:
        work = str(self.folder / "work")
        return main(["--tempest-home", str(self.home), "--workdir", work, "--keep", "--progress", "json", *words])

    @property
    def conf(self) -> Conf:
        """What Tempest was given."""
        return read_conf(self.folder / "work" / "tempest.conf")

    @property
    def accounts(self) -> Any:
        """Its accounts file."""
        return json.loads((self.folder / "work" / "workspace" / "accounts.yaml").read_text())


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)
    return Call(tmp_path)


def end(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    last: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return last


def logins(server: Scripted) -> list[Any]:
    """The bodies of the log-ins."""
    return [json.loads(asked.body)["auth"] for asked in server.asked if asked.path.endswith("/auth/tokens")]


@pytest.mark.parametrize("path", ["", "/", "/v3", "/v3/", "/v2.0"])
def test_tempest_gets_the_address_at_which_the_log_in_worked(cloud: KeystoneStandin, call: Call, path: str) -> None:
    conf = {"identity": {"uri_v3": cloud.server.url + path, **USER}}
    assert call("--conf-json", json.dumps(conf)) == 0
    assert call.conf["identity"]["uri_v3"] == cloud.url


def test_a_catalogue_with_the_older_name_of_a_service(cloud: KeystoneStandin, call: Call) -> None:
    cloud.more_services = {"volumev3": f"{cloud.server.url}/volume", "share": f"{cloud.server.url}/share"}
    assert call("--conf-json", json.dumps(cloud.conf())) == 0
    assert call.conf["volume"]["catalog_type"] == "volumev3" and call.conf["share"]["catalog_type"] == "share"
    assert call.conf["service_available"]["cinder"] == "True"
    # plugins take their services for granted
    assert "manila" not in call.conf["service_available"]
    assert (call.conf["service_available"]["designate"], call.conf["service_available"]["heat"]) == ("False", "False")


def test_user_and_project_in_two_domains(cloud: KeystoneStandin, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    openrc = {"OS_AUTH_URL": cloud.url, "OS_USERNAME": "tester", "OS_PASSWORD": ADMIN_PASSWORD,
              "OS_USER_DOMAIN_NAME": "LDAP", "OS_PROJECT_NAME": "demo", "OS_PROJECT_DOMAIN_ID": "default"}  # fmt: skip
    for name, value in openrc.items():
        monkeypatch.setenv(name, value)
    assert call("--env") == 0
    (auth,) = logins(cloud.server)
    assert auth["identity"]["password"]["user"]["domain"] == {"name": "LDAP"}
    assert auth["scope"] == {"project": {"name": "demo", "domain": {"id": "default"}}}


def test_a_user_by_id_alone(cloud: KeystoneStandin, call: Call) -> None:
    user = {"user_id": "u-tester", "password": ADMIN_PASSWORD, "project_id": "p0"}
    assert call("--conf-json", json.dumps({"identity": {"uri_v3": cloud.url, **user}})) == 0
    assert logins(cloud.server)[0]["identity"]["password"]["user"] == {"id": "u-tester", "password": ADMIN_PASSWORD}
    assert (call.accounts[0]["username"], call.accounts[0]["project_name"]) == ("tester", "demo")


def test_a_cloud_of_clouds_yaml_by_os_cloud(
    cloud: KeystoneStandin, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = {"auth_url": cloud.server.url, "username": "tester", "password": ADMIN_PASSWORD, "project_name": "demo"}
    (call.folder / "clouds.json").write_text(json.dumps({"clouds": {"mine": {"auth": auth, "region_name": "R1"}}}))
    monkeypatch.setenv("OS_CLOUD", "mine")
    assert call("--env") == 0
    assert call.conf["identity"]["uri_v3"] == cloud.url and call.accounts[0]["username"] == "tester"


def test_a_tempest_conf_with_accounts_and_paths_of_its_own(
    cloud: KeystoneStandin, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    (call.folder / "accounts.yaml").write_text(f"- username: one\n  password: {ADMIN_PASSWORD}\n  project_name: demo\n")
    (call.folder / "etc.conf").write_text(
        f"[DEFAULT]\nlog_file = /var/log/t.log\n[identity]\nuri_v3 = {cloud.url}\n"
        "[auth]\ntest_accounts_file = accounts.yaml\nuse_dynamic_credentials = False\n"
        "admin_username = admin\nadmin_password = not-used\n[oslo_concurrency]\nlock_path = /tmp\n"
    )
    assert call("--tempest-conf", "etc.conf") == 0
    out = capsys.readouterr().out
    assert "left out, set for each run: DEFAULT.log_file, oslo_concurrency.lock_path" in out
    assert [one["username"] for one in call.accounts] == ["one"]
    assert call.conf["auth"]["use_dynamic_credentials"] == "False"


def test_an_administrator_beside_accounts_makes_users_unless_told_not_to(
    cloud: KeystoneStandin, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = {**cloud.conf(), "account.1": USER}
    assert call("--conf-json", json.dumps(conf)) == 0
    assert "the accounts are not used" in capsys.readouterr().out
    assert call.conf["auth"]["use_dynamic_credentials"] == "True"
    conf["auth"]["use_dynamic_credentials"] = False
    assert call("--conf-json", json.dumps(conf)) == 0
    assert call.conf["auth"]["use_dynamic_credentials"] == "False" and call.accounts[0]["username"] == "tester"


def test_a_network_service_that_does_not_respond_ends_no_run_of_other_tests(
    cloud: KeystoneStandin, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.more_services = {"network": "http://127.0.0.1:1"}
    assert call("--conf-json", json.dumps({"identity": {"uri_v3": cloud.url, **USER}}), "--testcases", TEST) == 0
    assert json.loads((call.folder / "work" / "before.json").read_text())["floating_ips"] is None


def test_an_account_that_is_listed_twice_is_one(
    cloud: KeystoneStandin, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts = {"account.1": USER, "account.2": {**USER, "types": ["reseller_admin"]}, "account.3": USER}
    assert call("--conf-json", json.dumps({"identity": {"uri_v3": cloud.url}, **accounts})) == 0
    assert "user, password and project are not used: 2; Tempest needs different ones" in capsys.readouterr().out
    assert [one["types"] for one in call.accounts] == [["reseller_admin"]]


def test_a_password_that_cannot_be_written_for_tempest(
    cloud: KeystoneStandin, call: Call, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.keystone_standin.ADMIN_PASSWORD", r"pw\$word")
    conf = {"identity": {"uri_v3": cloud.url}, "auth": {"admin_username": "admin", "admin_password": r"pw\$word"}}
    assert call("--conf-json", json.dumps(conf)) == 2
    assert "a backslash before a dollar sign" in end(capsys)["message"]


def test_certificates_at_a_relative_path(
    cloud: KeystoneStandin, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    (call.folder / "ca.pem").touch()
    conf = cloud.conf(ca_certificates_file="ca.pem")
    assert call("--conf-json", json.dumps(conf)) == 0
    assert call.conf["identity"]["ca_certificates_file"] == str(call.folder / "ca.pem")
    capsys.readouterr()
    assert call("--conf-json", json.dumps(cloud.conf(ca_certificates_file="other.pem"))) == 2
    assert "there is no file" in end(capsys)["message"]


def test_a_cloud_that_only_a_proxy_of_the_environment_reaches(
    cloud: KeystoneStandin, call: Call, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refstack_worker.execute_test.cloud.keystone.CLOUD_PATIENCE", 0.0)
    monkeypatch.setenv("http_proxy", cloud.server.url)
    conf = {"identity": {"uri_v3": "http://cloud.invalid:5000/v3", **USER}}
    assert call("--conf-json", json.dumps(conf)) == 3
    last = end(capsys)
    assert last["reason"] == "cloud" and "Tempest ignores proxy variables" in last["message"]


def test_a_dead_proxy_of_the_environment_does_not_matter(
    cloud: KeystoneStandin, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert call("--conf-json", json.dumps(cloud.conf())) == 0


def test_a_region_that_the_catalogue_does_not_have(
    cloud: KeystoneStandin, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--conf-json", json.dumps(cloud.conf(region="Elsewhere"))) == 3
    assert "has no region Elsewhere; it has R1" in end(capsys)["message"]


def test_a_blank_at_the_end_of_a_region_does_not_count(cloud: KeystoneStandin, call: Call) -> None:
    assert call("--conf-json", json.dumps(cloud.conf(region="R1 "))) == 0
    assert call.conf["identity"]["region"] == "R1"


@pytest.mark.parametrize("text", ['["tempest.api.object_storage",]', "[not json\nm.C"])
def test_a_list_that_looks_like_json_and_is_not(
    cloud: KeystoneStandin, call: Call, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (call.folder / "list.json").write_text(text)
    assert call("--conf-json", json.dumps(cloud.conf()), "--testcases", "@list.json") == 2
    assert "list.json is not JSON (line 1" in end(capsys)["message"]


def test_files_that_windows_saved(cloud: KeystoneStandin, call: Call) -> None:
    (call.folder / "list.txt").write_bytes(b"\xef\xbb\xbfm.C\t# bug 1\r\n\r\n")
    (call.folder / "cloud.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(cloud.conf()).encode())
    assert call("--conf-json", "@cloud.json", "--testcases", "@list.txt") == 0


def test_a_password_beyond_ascii_is_masked_in_any_locale(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys\n"
        "from refstack_worker.execute_test.log import SECRETS\n"
        "from refstack_worker.execute_test.tempest.workspace import Workspace\n"
        "SECRETS.add('p\\xe4ssw\\xf6rd-1'); w = Workspace(pathlib.Path(sys.argv[1])); w.create()\n"
        "w.running_log.write_bytes('password=p\\xe4ssw\\xf6rd-1\\n'.encode()); w.keep_log()\n"
    )
    env = {
        **os.environ,
        "PYTHONIOENCODING": "latin-1",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "LC_ALL": "POSIX",
    }
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=env, check=True, cwd=Path(__file__).parents[3])
    assert (tmp_path / "tempest.log").read_bytes() == b"password=***\n"


def test_the_old_version_of_keystones_api_in_a_tempest_conf_is_not_used(
    cloud: KeystoneStandin, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    user = f"username = tester\npassword = {ADMIN_PASSWORD}\n"
    (call.folder / "t.conf").write_text(f"[identity]\nuri_v3 = {cloud.url}\nauth_version = v2\n{user}")
    assert call("--tempest-conf", "t.conf") == 0
    assert call.conf["identity"]["auth_version"] == "v3"
    assert "identity.auth_version = v2 is not used: runs use Keystone's v3 API alone" in capsys.readouterr().out


@pytest.mark.parametrize("password", ["p\udce9ss", ["p\udce9ss"]])
def test_a_password_in_another_encoding_is_not_sent_to_the_cloud(
    cloud: KeystoneStandin, call: Call, capsys: pytest.CaptureFixture[str], password: object
) -> None:
    conf = {"identity": {"uri_v3": cloud.url, **USER, "password": password}}
    assert call("--conf-json", json.dumps(conf)) == 2
    assert "identity.password: not valid UTF-8; save it as UTF-8, or use" in end(capsys)["message"]
    assert not cloud.server.asked


def test_nor_one_of_an_openrc(
    cloud: KeystoneStandin, call: Call, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    openrc = {"OS_AUTH_URL": cloud.url, "OS_USERNAME": "tester", "OS_PASSWORD": os.fsdecode(b"p\xe9ss")}
    for name, value in openrc.items():
        monkeypatch.setenv(name, value)
    assert call("--env") == 2
    assert end(capsys)["message"].startswith("--env: identity.password: not valid UTF-8")
