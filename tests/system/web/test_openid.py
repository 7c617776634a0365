"""A real Chromium signs in with a real OpenID Connect provider, and is refused where the provider proves nothing."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("selenium") is None or not shutil.which("chromedriver"):
    pytest.skip("needs selenium and chromium-driver", allow_module_level=True)

from selenium.webdriver.common.by import By

from tests.support.openid_provider import Client, openid_provider
from tests.support.processes import free_port
from tests.system.web import test_findings as findings
from tests.system.web.site import Site, furnish, serving
from tests.system.web.test_browser import click, eventually, shows

driver = findings.driver
USERS: dict[str, dict[str, Any]] = {
    "s-ann": {"email": "Ann@Example.org", "email_verified": True},
    "s-unverified": {"email": "ann@example.org", "email_verified": False},
    "s-eve": {"email": "eve@elsewhere.example", "email_verified": True},
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    client = Client("refstack", "", f"{address}/sign-in/callback")
    with openid_provider(USERS, client) as provider:
        sign_in = {"OIDC_ISSUER": provider.url, "OIDC_CLIENT_ID": "refstack", "OIDC_NAME": "OpenInfra ID"}
        with serving(tmp_path, port=port, APP_ADDRESS=address, **sign_in) as made:
            yield made


def sign_in_as(driver: Any, site: Site, subject: str, path: str = "/runs") -> None:
    driver.get(site.url + path)
    click(driver, "Sign in with OpenInfra ID")
    eventually(driver, lambda: driver.title == "Provider")
    driver.find_element(By.CSS_SELECTOR, f"button[value={subject}]").click()
    eventually(driver, lambda: driver.current_url.startswith(site.url))


def test_a_user_signs_in_by_the_provider_and_out_again(site: Site, driver: Any) -> None:
    ids = furnish(site)
    # the page that was asked for comes after the sign-in, with its query
    wanted = f"/runs/{ids['judged']}?status=failed"
    sign_in_as(driver, site, "s-ann", wanted)
    eventually(driver, lambda: driver.current_url == site.url + wanted)
    assert "ann" in driver.find_element(By.CSS_SELECTOR, "header .who").text.lower()
    cookie = driver.get_cookie("refstack_session")["value"]
    click(driver, "Sign out")
    eventually(driver, lambda: "/sign-in" in driver.current_url)
    assert site.ledger.sessions.find(cookie) is None
    driver.get(f"{site.url}/runs")
    assert "/sign-in" in driver.current_url
    # known by identity now, and tokens go on to work beside it
    sign_in_as(driver, site, "s-ann")
    shows(driver, "Certification, try 8")
    assert site.ledger.tokens.find(site.tokens["ann"]) is not None


@pytest.mark.parametrize("subject", ["s-unverified", "s-eve"])
def test_an_address_that_proves_nothing_opens_no_session(site: Site, driver: Any, subject: str) -> None:
    sign_in_as(driver, site, subject)
    assert driver.find_element(By.CSS_SELECTOR, "main .alert").text
    assert driver.get_cookie("refstack_session") is None
