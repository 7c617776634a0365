"""A real Chromium goes through the pages as a vendor, as an operator, and as a user without permission."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("selenium") is None or not shutil.which("chromedriver"):
    pytest.skip("needs selenium and chromium-driver", allow_module_level=True)

from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as seen
from selenium.webdriver.support.ui import Select, WebDriverWait

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.results import acceptance
from tests.support.ledgers import Event, stream, submit
from tests.system.web import look
from tests.system.web.axe import serious
from tests.system.web.site import PROGRAM, Site, beat, begin, finish, furnish, guideline, run_of, serving

PATIENCE = 20
"""Seconds."""
STALE = (WebDriverException,)
"""While one page gives way to the next, Chromium has more words than one for an element that is gone."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Any]:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    made = look.browser(downloads)
    # a page may take a moment to come, on a busy machine a long one
    made.implicitly_wait(PATIENCE)
    yield made
    made.quit()


def click(driver: Any, words: str) -> None:
    found = driver.find_element(By.XPATH, f"//*[self::a or self::button or self::summary][normalize-space()='{words}']")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
    found.click()


def confirmed(driver: Any, words: str) -> None:
    """Click, and say yes to the question."""
    click(driver, words)
    eventually(driver, lambda: driver.switch_to.alert).accept()


def fill(driver: Any, **values: str) -> None:
    for name, value in values.items():
        field = driver.find_element(By.NAME, name)
        field.clear()
        field.send_keys(value)


def until(driver: Any, css: str, text: str) -> None:
    WebDriverWait(driver, PATIENCE, ignored_exceptions=STALE).until(
        seen.text_to_be_present_in_element((By.CSS_SELECTOR, css), text)
    )


def eventually(driver: Any, condition: Callable[[], Any]) -> Any:
    return WebDriverWait(driver, PATIENCE, ignored_exceptions=STALE).until(lambda _driver: condition())


def shows(driver: Any, *texts: str) -> None:
    """Wait until the page holds these texts."""
    eventually(driver, lambda: all(text in body(driver) for text in texts))


def body(driver: Any) -> str:
    return str(driver.find_element(By.TAG_NAME, "main").text)


def test_a_vendor_goes_through_it_all(site: Site, driver: Any, tmp_path: Path) -> None:
    look.sign_in(driver, site, "ann")
    upload_guideline(driver, tmp_path / "2026.06.json")
    add_cloud(driver, site)
    test_id = start_run(driver)
    follow_run(driver, site, test_id)
    read_verdict(driver)
    downloads(driver, tmp_path / "downloads", test_id)
    rerun_failed(driver, site)
    assert not [line for line in driver.get_log("browser") if line["level"] == "SEVERE"]


def upload_guideline(driver: Any, file: Path) -> None:
    file.write_text(guideline())
    click(driver, "Guidelines")
    driver.find_element(By.NAME, "file").send_keys(str(file))
    click(driver, "Upload")
    shows(driver, PROGRAM, "24")


def add_cloud(driver: Any, site: Site) -> None:
    click(driver, "Clouds")
    click(driver, "Add cloud")
    fill(driver, label="Acme", endpoint_v3=f"{site.url}/v3", test_user="interop", password="pw-of-ann-1")
    driver.find_element(By.CSS_SELECTOR, "input[name=keep][value=yes]").click()
    click(driver, "Add and check")
    # there is no Keystone at that address, and the page says so
    shows(driver, "Connection problem.", "Keystone")
    shows(driver, "Stored (encrypted)")
    assert "pw-of-ann-1" not in driver.page_source


def start_run(driver: Any) -> int:
    click(driver, "New run")
    Select(driver.find_element(By.NAME, "program")).select_by_visible_text(f"2026.06: {PROGRAM} (24 tests)")
    fill(driver, version="47.0.0", label="First")
    click(driver, "Start run")
    # no node has that version yet, and the page says so before the run is started
    shows(driver, "No available node runs Tempest 47.0.0. Available: none.")
    driver.find_element(By.NAME, "anyway").click()
    click(driver, "Start run")
    until(driver, "#state", "Queued")
    return int(driver.current_url.rpartition("/")[2])


def follow_run(driver: Any, site: Site, test_id: int) -> None:
    """Do what a worker does, and watch the page follow."""
    job = submit(site.ledger, test_id)
    assert job.submission.conf_json == {"identity": {"password": "pw-of-ann-1"}}
    assert len(job.submission.spec.testcases.names) == 24  # type: ignore[union-attr]
    site.ledger.attempts.claim(job.proof, Claim(job.claim_id, "node-a", "47.0.0"))
    site.ledger.attempts.report(job.proof, Report(RunState.BUILDING, "an environment"))
    until(driver, "#timeline", "Preparing Tempest: an environment")
    site.ledger.attempts.report(job.proof, Report(RunState.RUNNING))
    beat(site, job, 7, 1)
    until(driver, "#done", "7 of 24 tests")
    until(driver, "#tally", "1 failed")
    beat(site, job, 20, 1)
    until(driver, "#done", "20 of 24 tests")
    finish(site, job, ["objectstore-temp-url-get"])
    until(driver, "#state", "Tests failed")


def read_verdict(driver: Any) -> None:
    verdict = driver.find_element(By.CLASS_NAME, "verdict").text
    assert f"Does not meet {PROGRAM} 2026.06" in verdict and "20 of 24" in verdict
    assert re.search(
        r"objectstore-temp-url-get.*\n.*failed tempest\.api\.object_storage\.\S*test_temp_url_get_0", verdict
    )
    driver.find_element(By.CSS_SELECTOR, ".figures .failed a").click()
    eventually(driver, lambda: len(driver.find_elements(By.CSS_SELECTOR, "section tbody tr")) == 4)
    shows(driver, "Unauthorized")
    fill(driver, q="url_get_2")
    driver.find_element(By.CSS_SELECTOR, "form[aria-label='Filter tests'] button").click()
    eventually(driver, lambda: len(driver.find_elements(By.CSS_SELECTOR, "section tbody tr")) == 1)


def rerun_failed(driver: Any, site: Site) -> None:
    click(driver, "Rerun")
    driver.find_element(By.CSS_SELECTOR, "input[value=failed]").click()
    driver.find_element(By.CSS_SELECTOR, "form.inside button").click()
    until(driver, "#state", "Queued")
    again = submit(site.ledger, int(driver.current_url.rpartition("/")[2]))
    assert len(again.submission.spec.testcases.names) == 4  # type: ignore[union-attr]
    assert again.submission.conf_json == {"identity": {"password": "pw-of-ann-1"}}
    confirmed(driver, "Cancel run")
    until(driver, "#state", "Cancelled")


def downloads(driver: Any, folder: Path, test_id: int) -> None:
    kinds = {"Subunit stream": "subunit", "JUnit XML": "xml", "HTML report": "html", "CSV": "csv", "JSON": "json"}
    for link, suffix in kinds.items():
        if not driver.find_element(By.CSS_SELECTOR, "details.menu").get_attribute("open"):
            click(driver, "Download")
        click(driver, link)
        file = folder / f"run-{test_id}.{suffix}"
        WebDriverWait(driver, PATIENCE).until(lambda _driver, file=file: file.exists() and file.stat().st_size > 0)
    whole = json.loads((folder / f"run-{test_id}.json").read_text())
    assert len(whole["tests"]) == 25 and whole["verdict"]["required"]["passed"] == 20
    assert (folder / f"run-{test_id}.subunit").read_bytes().startswith(b"\xb3")
    assert "<failure" in (folder / f"run-{test_id}.xml").read_text()
    driver.find_element(By.TAG_NAME, "h1").click()


def test_the_wrong_user_gets_nothing(site: Site, driver: Any) -> None:
    ids = furnish(site)
    look.sign_in(driver, site, "bob")
    shows(driver, "No runs yet.")
    for path in (f"/runs/{ids['judged']}", f"/runs/{ids['running']}", f"/clouds/{ids['cloud']}", "/fleet",
                 f"/runs/{ids['judged']}/file/subunit", f"/runs/{ids['judged']}/compare?with={ids['judged'] - 1}",
                 f"/clouds/{ids['cloud']}/change", f"/runs/{ids['running']}/events"):  # fmt: skip
        driver.get(site.url + path)
        assert "Acme" not in driver.page_source and "tempest.api" not in driver.page_source, path
        assert "Not found" in body(driver) or "needs a token" in body(driver), path
    driver.get(f"{site.url}/clouds")
    shows(driver, "No clouds yet.")


def test_without_javascript_a_run_is_started_and_cancelled(site: Site, driver: Any) -> None:
    conf = {"identity": {"password": "pw-1"}}
    site.ledger.clouds.add(NewCloud("Acme", "https://k.example/v3", user_id=site.users["ann"], conf_json=conf))
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    look.sign_in(driver, site, "ann")
    driver.get(f"{site.url}/runs/new")
    Select(driver.find_element(By.NAME, "cloud_id")).select_by_visible_text(
        "Acme (https://k.example/v3), passwords stored"
    )
    fill(driver, version="47.0.0", label="Without scripts")
    driver.find_element(By.CSS_SELECTOR, "input[value=all]").click()
    click(driver, "Start run")
    driver.find_element(By.NAME, "anyway").click()
    click(driver, "Start run")
    until(driver, "#state", "Queued")
    click(driver, "Cancel run")
    until(driver, "#state", "Cancelled")


def test_a_form_of_another_site_is_refused(site: Site, driver: Any) -> None:
    furnish(site)
    look.sign_in(driver, site, "operator")
    driver.get(f"{site.url}/fleet")
    driver.execute_script("document.querySelector('main [name=form_key]').value = 'f'.repeat(64)")
    confirmed(driver, "Pause queue")
    shows(driver, "You signed in again in another tab.")
    assert not site.ledger.queue.is_paused()


def test_signing_out_ends_the_session(site: Site, driver: Any) -> None:
    look.sign_in(driver, site, "ann")
    cookie = driver.get_cookie("refstack_session")
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax"
    click(driver, "Sign out")
    eventually(driver, lambda: "/sign-in" in driver.current_url)
    driver.add_cookie({"name": "refstack_session", "value": cookie["value"]})
    driver.get(f"{site.url}/runs")
    assert "/sign-in" in driver.current_url


def test_a_token_is_made_shown_once_and_revoked(site: Site, driver: Any) -> None:
    look.sign_in(driver, site, "ann")
    click(driver, "Tokens")
    fill(driver, name="for the script")
    click(driver, "Create")
    secret = driver.find_element(By.CLASS_NAME, "secret").text
    assert site.ledger.tokens.find(secret).user_id == site.users["ann"]  # type: ignore[union-attr]
    driver.get(f"{site.url}/tokens")
    assert secret not in driver.page_source
    driver.find_element(By.XPATH, "//button[@aria-label='Revoke for the script']").click()
    eventually(driver, lambda: driver.switch_to.alert).accept()
    eventually(driver, lambda: site.ledger.tokens.find(secret) is None)


def test_what_a_worker_or_a_vendor_writes_stays_text(site: Site, driver: Any) -> None:
    job = begin(site, plain(site))
    look.sign_in(driver, site, "ann")
    driver.get(f"{site.url}/runs/{job.submission.key.test_id}")
    site.ledger.attempts.report(job.proof, Report(None, "<b>bold</b> & <script>alert(1)</script>"))
    until(driver, "#timeline", "<b>bold</b> & <script>alert(1)</script>")
    assert "<img" in driver.find_element(By.TAG_NAME, "h1").text
    name = "tempest.<i>a_b</i>&.test_x"
    file = site.folder / "hostile"
    file.write_bytes(stream([Event(name)]))
    acceptance.accept(site.ledger, job.proof, Upload.of(file, {}))
    until(driver, "#state", "Passed")
    # where it may be broken is not part of it
    assert driver.find_element(By.CSS_SELECTOR, "td.name").get_attribute("textContent") == name
    assert driver.find_element(By.CSS_SELECTOR, "td.name").text == name


def plain(site: Site) -> Any:
    return replace(run_of(site, "ann", 0, "<img src=x onerror=alert(1)>"), cloud_id=None)


@pytest.mark.parametrize("size", list(look.SIZES))
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(
    site: Site, driver: Any, size: str, scheme: str
) -> None:
    ids = furnish(site)
    look.shape(driver, size, scheme)
    driver.get(f"{site.url}/sign-in")
    assert not serious(driver)
    look.sign_in(driver, site, "operator")
    for name, path in {**look.pages(ids), "not there": "/runs/999999", "waiting": f"/runs/{ids['waiting']}"}.items():
        driver.get(site.url + path)
        assert not serious(driver), name
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), name
