from __future__ import annotations

import dataclasses
import ipaddress
import re
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.config import server
from refstack_worker.errors import ConfigError
from refstack_worker.gearman import Address
from tools import settings_table


def test_the_specifications_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "refstack.cfg"
    file.write_text('GEARMAN_SERVER = "localhost"\nGEARMAN_PORT = 4731\nTEST_METHOD = "GEARMAN"\nDEBUG = open("x")\n')
    monkeypatch.setenv("REFSTACK_CFG", str(file))
    settings = server.load()
    assert settings.queue.servers == (Address("localhost", 4731),)
    assert settings.queue.method == "gearman"
    assert server.load(file) == settings


def test_defaults() -> None:
    settings = server.from_mapping({})
    assert settings.queue.servers == (Address("127.0.0.1", 4730),)
    assert settings.database.url == "sqlite:////var/lib/refstack/refstack.sqlite"
    assert settings.rules == server.RunRules() and settings.web == server.WebSettings()
    assert not settings.web.allow_anonymous_results
    assert [str(network) for network in settings.web.testing_hosts] == ["127.0.0.0/8", "::1/128"]
    assert settings.keys.sign == Path("/etc/refstack/keys/sign.key")


def test_several_servers_and_networks() -> None:
    settings = server.from_mapping(
        {
            "GEARMAN_SERVER": ["a.example", "b.example:4999", "[2001:db8::1]:4730"],
            "TESTING_HOSTS": "10.1.0.0/16, 2001:db8::/32",
            "TRUSTED_PROXIES": ["192.0.2.1"],
        }
    )
    assert [str(address) for address in settings.queue.servers] == [
        "a.example:4730",
        "b.example:4999",
        "[2001:db8::1]:4730",
    ]
    assert settings.web.testing_hosts == (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("2001:db8::/32"))


def test_refstacks_own_name_for_the_database() -> None:
    url = "postgresql://refstack:hidden@db/refstack"
    settings = server.from_mapping({"SQLALCHEMY_DATABASE_URI": url})
    assert settings.database.url == url and "hidden" not in repr(settings)
    both = server.from_mapping({"SQLALCHEMY_DATABASE_URI": url, "DATABASE_URL": "sqlite:////x"})
    assert both.database.url == "sqlite:////x"


@pytest.mark.parametrize(
    "given",
    [
        {"GEARMAN_PORT": 0},
        {"GEARMAN_PORT": "x"},
        {"GEARMAN_SERVER": []},
        {"GEARMAN_SERVER": 4730},
        {"GEARMAN_SERVER": "host:port"},
        {"TEST_METHOD": "docker"},
        {"TESTING_HOSTS": ["worker.example"]},
        {"TESTING_HOSTS": ["10.1.2.3/16"]},
        {"APP_ADDRESS": "refstack.example"},
        {"APP_ADDRESS": "https://user:pw@refstack.example"},
        {"DATABASE_URL": "refstack.db"},
        {"ATTEMPT_LIMIT": 0},
        {"ATTEMPT_LIMIT": True},
        {"HEARTBEAT_SECONDS": 30, "HEARTBEAT_LIMIT": 60},
        {"ALLOW_ANONYMOUS_RESULTS": "no"},
        {"TEMPEST_CONFIG": {"DEFAULT": {"log_file": "/x"}}},
        {"TEMPEST_CONFIG": ["x"]},
        {"KEY_FOLDER": 5},
        {"GEARMAN_PORT": 4730.5},
        {"MAX_RESULT_MB": 2048},
        {"LIST_URLS": ["https:/x"]},
        {"UPLOAD_URL": "refstack.example"},
        {"RETENTION_DAYS": -1},
    ],
    ids=str,
)
def test_what_cannot_be_names_the_setting(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        server.from_mapping(given, "refstack.cfg")
    assert "hidden" not in str(caught.value)
    assert re.search("|".join(given) + "|gearman server", str(caught.value))


def test_a_missing_file_says_how_to_name_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REFSTACK_CFG", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="REFSTACK_CFG"):
        server.load()


def test_the_documentation_has_todays_settings() -> None:
    text = settings_table.PAGE.read_text("utf-8")
    assert settings_table.page_with_table(text) == text, "run python -m tools.settings_table"


def test_every_setting_has_a_name_of_its_own_and_a_meaning() -> None:
    fields = [item for group in server.GROUPS for item in dataclasses.fields(group)]
    assert len({item.metadata["name"] for item in fields}) == len(fields)
    assert all(item.metadata["meaning"].endswith(".") for item in fields)


@pytest.mark.parametrize(
    ("given", "group", "field", "value"),
    [
        ({"RETENTION_DAYS": 1}, "rules", "retention_seconds", 86400.0),
        ({"SESSION_HOURS": 1.5}, "web", "session_hours", 1.5),
        ({"MAX_RESULT_MB": 3}, "web", "max_result_bytes", 3 * 2**20),
        (
            {"LIST_URLS": ["https://opendev.org/openstack/"]},
            "outbound",
            "list_urls",
            ("https://opendev.org/openstack/",),
        ),
        ({"UPLOAD_URL": "https://refstack.example/"}, "outbound", "upload_url", "https://refstack.example"),
        ({"KEY_FOLDER": "/keys"}, "keys", "fleet", Path("/keys/fleet.pub")),
        ({"DATA_FOLDER": "/data"}, "database", "url", "sqlite:////data/refstack.sqlite"),
        ({"TEMPEST_TESTCASES": []}, "tempest", "testcases", ("tempest",)),
    ],
    ids=str,
)
def test_a_setting_reaches_its_field(given: dict[str, Any], group: str, field: str, value: Any) -> None:
    assert getattr(getattr(server.from_mapping(given), group), field) == value


@pytest.mark.parametrize("sender", ["a@b.example\nBcc: x@y.example", "", "refstack@", "a@b.example, c@d.example"])
def test_a_sender_must_be_one_address_on_one_line(sender: str) -> None:
    with pytest.raises(ConfigError, match="MAIL_FROM must be one address on one line"):
        server.from_mapping({"MAIL_FROM": sender})


@pytest.mark.parametrize("sender", ["refstack@localhost", "RefStack für alle <refstack@example.org>", "refstack"])
def test_senders(sender: str) -> None:
    assert server.from_mapping({"MAIL_FROM": sender}).notify.mail_from == sender


def test_a_section_of_tempest_in_any_spelling_is_one() -> None:
    settings = server.from_mapping({"TEMPEST_CONFIG": {"Compute": {"image_ref": "1"}}})
    assert settings.tempest.config == {"compute": {"image_ref": "1"}}
    with pytest.raises(ConfigError, match="TEMPEST_CONFIG.*compute.image_ref: is set in two spellings"):
        server.from_mapping({"TEMPEST_CONFIG": {"Compute": {"image_ref": "1"}, "compute": {"image_ref": "2"}}})
