"""The address of Keystone, its users, and the way to it."""

from __future__ import annotations

import pytest

from refstack_worker.execute_test.cloud.keystone import CloudUser, Keystone, keystone_url, ordinary_users
from refstack_worker.execute_test.failures import BadInput, CloudFailure, Failure
from tests.support.http_server import HTML, Reply, as_json, serving
from tests.support.keystone_standin import ADMIN_PASSWORD, keystone_standin


@pytest.mark.parametrize(
    ("given_uri", "asked"),
    [
        ({"uri_v3": "http://k:5000/v3"}, "http://k:5000/v3"),
        ({"uri_v3": "http://k:5000/v3/"}, "http://k:5000/v3"),
        ({"uri_v3": " http://k:5000/v3/auth/tokens "}, "http://k:5000/v3"),
        ({"uri": "http://k:5000/v2.0"}, "http://k:5000/v3"),
        ({"uri": "https://k/identity"}, "https://k/identity/v3"),
        ({"uri_v3": "https://облако.example:5000"}, "https://xn--80ab2acne.example:5000/v3"),
        ({"uri_v3": "https://k/identität/v3"}, "https://k/identit%C3%A4t/v3"),
        ({"uri": "http://old/v2.0", "uri_v3": "http://new/v3"}, "http://new/v3"),
    ],
)
def test_address_of_keystone(given_uri: dict[str, str], asked: str) -> None:
    assert keystone_url(given_uri) == asked


@pytest.mark.parametrize("uri", ["", "file:///etc/passwd", "http://u:p@k/v3", "http://k/v3?x=1", "http://☃.net:5000"])
def test_address_that_is_none(uri: str) -> None:
    with pytest.raises(BadInput):
        keystone_url({"uri_v3": uri})


def users(**identity: str) -> list[CloudUser]:
    return ordinary_users({"identity": {"username": "u", "password": "p", **identity}})


def test_a_domain_by_name_is_not_hidden_by_another_ones_id() -> None:
    (user,) = users(user_domain_name="LDAP", domain_id="default", project_name="demo")
    assert user.domain == {"name": "LDAP"}
    assert user.scope == {"project": {"name": "demo", "domain": {"id": "default"}}}


def test_the_second_user_has_the_first_ones_domains_unless_it_has_its_own() -> None:
    common = {"alt_username": "v", "alt_password": "p", "user_domain_id": "d1", "project_domain_name": "P"}
    _, second = users(**common)
    assert (second.domain, second.project_domain) == ({"id": "d1"}, "P")
    _, second = users(**common, alt_domain_name="Own")
    assert (second.domain, second.project_domain) == ({"name": "Own"}, "Own")


def test_a_user_by_id() -> None:
    (user,) = ordinary_users({"identity": {"user_id": "u1", "password": "p"}})
    assert (user.known_as, user.who) == ("u1", {"id": "u1", "password": "p"})


def test_no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tempest takes none: a log-in by it would tell nothing about the run."""
    with keystone_standin() as cloud:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "")
        keystone = Keystone({"identity": {"uri_v3": cloud.url}})
        assert keystone.log_in(CloudUser("admin", ADMIN_PASSWORD)).value == "token-of-admin"
    monkeypatch.setattr("refstack_worker.execute_test.cloud.keystone.CLOUD_PATIENCE", 0.0)
    with pytest.raises(CloudFailure, match="http_proxy is set, but Tempest ignores proxy variables"):
        Keystone({"identity": {"uri_v3": "http://127.0.0.1:9/v3"}}).log_in(CloudUser("admin", ADMIN_PASSWORD))


def test_the_proxy_of_tempests_service_clients_is_used_for_services_and_not_for_tokens() -> None:
    with keystone_standin() as cloud, serving() as proxy:
        proxy.otherwise = lambda asked: as_json({"projects": [{"id": "by-proxy"}]})
        conf = {"identity": {"uri_v3": cloud.url}, "service-clients": {"proxy_url": proxy.url}}
        keystone = Keystone(conf)
        token = keystone.log_in(CloudUser("admin", ADMIN_PASSWORD, "demo"))
        assert token.value == "token-of-admin" and not proxy.asked
        assert keystone.request("GET", "/auth/projects", token.value)["projects"][0]["id"] == "by-proxy"


def refused(*replies: Reply, path: str = "/v3/auth/tokens", password: str = ADMIN_PASSWORD) -> str:
    """What a user without a project reads after these replies to the log-in."""
    with keystone_standin() as cloud:
        cloud.server.on(path, *replies)
        with pytest.raises(Failure) as caught:
            Keystone({"identity": {"uri_v3": cloud.url}}).log_in(CloudUser("ann", password))
    return str(caught.value)


def test_a_second_factor_is_not_a_wrong_password() -> None:
    receipt = {"receipt": {"methods": ["password"]}, "required_auth_methods": [["password", "totp"]]}
    text = refused(as_json(receipt, 401, **{"Openstack-Auth-Receipt": "r"}))
    assert "asks for a second factor for the user ann" in text and "check name" not in text
    assert "check name, password, project and domain" in refused(as_json({}, 401))


@pytest.mark.parametrize(
    ("password", "is_hinted"),
    [("'own-word'", True), ('"own-word"', True), ("'", False), ("'own-word\"", False), ("own-word", False)],
)
def test_quotes_around_a_refused_password_are_named(password: str, is_hinted: bool) -> None:
    text = refused(as_json({}, 401), password=password)
    assert ("; the password begins and ends with a quote" in text) is is_hinted and "own-word" not in text


@pytest.mark.parametrize("status", [400, 403])
def test_a_refusal_by_keystone_itself_does_not_blame_its_address(status: int) -> None:
    text = refused(as_json({"error": {"message": "it is locked"}}, status))
    assert "refuses to log in the user ann" in text and f"response {status}: it is locked" in text
    assert "uri_v3" not in text


@pytest.mark.parametrize("reply", [as_json({}, 404), as_json({}, 405), Reply(403, b"<p>", HTML.headers), HTML])
def test_what_is_not_keystone_is_the_fault_of_the_address(reply: Reply) -> None:
    assert "check identity.uri_v3" in refused(reply)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_keystone_that_fails_was_reached(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refstack_worker.execute_test.cloud.keystone.CLOUD_PATIENCE", 0.0)
    text = refused(as_json({"error": {"message": "too much"}}, status))
    assert text.startswith("the cloud's Keystone fails: ") and f"response {status}: too much" in text


def test_a_user_without_a_project() -> None:
    text = refused(as_json({"projects": []}), path="/v3/auth/projects")
    assert "the user ann has no role in any project" in text and "Name one of" not in text
