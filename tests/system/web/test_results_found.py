"""A real Chromium goes through what vendors once stumbled over in results: failures, paper, times, cancelled runs."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace
from typing import Any

import pytest

if importlib.util.find_spec("selenium") is None or not shutil.which("chromedriver"):
    pytest.skip("needs selenium and chromium-driver", allow_module_level=True)

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.server.domain.guidelines import Choice, StoredGuideline
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.results import acceptance
from tests.support.ledgers import stream
from tests.system.web import test_findings as findings
from tests.system.web.site import PROGRAM, Site, beat, begin, events, finish, furnish, guideline, run_of
from tests.system.web.test_browser import click, eventually, shows
from tests.system.web.test_findings import add_cloud

site, driver, ann = findings.site, findings.driver, findings.ann
PRINTED = """
addEventListener('beforeprint', () => {
    const folded = [...document.querySelectorAll('main details:not(.menu)')];
    const reasons = [...document.querySelectorAll('#tests-table td.name details[open] pre')];
    window.printed = {open: folded.every(one => one.open),
                      reasons: reasons.filter(one => one.textContent.includes('401')).length};
})
"""
"""Notes what is open when the page is printed."""
COLOURS = """
const of = (css, what) => getComputedStyle(document.querySelector(css))[what];
return [of('main h1', 'color'), of('body', 'backgroundColor'), of('.verdict', 'backgroundColor')]
"""


def test_paper_has_black_on_white_and_what_was_folded(site: Site, ann: Any) -> None:
    ids = furnish(site)
    ann.get(f"{site.url}/runs/{ids['judged']}")
    ann.execute_script(PRINTED)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    ann.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    assert ann.execute_script(COLOURS) == ["rgb(0, 0, 0)", "rgb(255, 255, 255)", "rgb(255, 255, 255)"]
    assert not ann.find_element(By.CSS_SELECTOR, "header.top").is_displayed()
    ann.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": dark})
    ann.execute_cdp_cmd("Page.printToPDF", {})
    assert eventually(ann, lambda: ann.execute_script("return window.printed")) == {"open": True, "reasons": 4}
    # and folded again afterwards
    assert ann.execute_script("return [...document.querySelectorAll('#tests-table details')].some(one => !one.open)")


def test_many_failures_open_at_once_and_name_their_last_line(site: Site, ann: Any) -> None:
    cloud = add_cloud(site)
    job = begin(site, run_of(site, "ann", cloud, "all wrong"))
    finish(site, job, ["objectstore-temp-url-get", "objectstore-object-get", "objectstore-container-create"])
    ann.get(f"{site.url}/runs/{job.submission.key.test_id}")
    shows(ann, "Why tests failed", "19 tests", "Check the user's name, password and domain.")
    rows = ann.find_elements(By.CSS_SELECTOR, "#tests-table tbody tr")
    assert "failed" in rows[0].text and "Details: 401" in rows[0].text or "Unauthorized" in rows[0].text
    click(ann, "Expand all")
    opened = "return [...document.querySelectorAll('#tests-table details')].every(one => one.open)"
    eventually(ann, lambda: ann.execute_script(opened))
    Select(ann.find_element(By.NAME, "sort")).select_by_value("time")
    ann.find_element(By.CSS_SELECTOR, "form[aria-label='Filter tests'] button").click()
    eventually(ann, lambda: "sort=time" in ann.current_url)
    seconds = [float(one.text) for one in ann.find_elements(By.CSS_SELECTOR, "#tests-table td.number")]
    assert seconds == sorted(seconds, reverse=True)


def test_a_flaky_test_is_marked_with_its_history(site: Site, ann: Any) -> None:
    cloud = add_cloud(site)
    broken = ["objectstore-temp-url-get"]
    for failing in (broken, [], [*broken, "identity-tokens-create"]):
        job = begin(site, run_of(site, "ann", cloud, "try"))
        finish(site, job, failing)
    ann.get(f"{site.url}/runs/{job.submission.key.test_id}?status=failed")
    for mark, count in (("flaky", 4), ("new failure", 5)):
        marked = ann.find_elements(By.XPATH, f"//td[contains(@class, 'name')]//span[text()='{mark}']")
        assert len(marked) == count, mark
    ann.find_element(By.XPATH, "//table[@id='tests-table']//a[contains(., 'test_tokens_create_0')]").click()
    shows(ann, "It last passed in #2: compare.")
    ann.back()
    ann.find_element(By.CSS_SELECTOR, "#tests-table td.name a").click()
    shows(ann, "This test on this cloud", "Flaky")
    click(ann, "Its lines in tempest.log")
    eventually(ann, lambda: ann.find_elements(By.CSS_SELECTOR, ".log tr"))
    click(ann, "Jump to the first failure")
    target = eventually(ann, lambda: ann.find_element(By.CSS_SELECTOR, "tr:target"))
    assert " 401 " in target.text


def test_required_tests_that_were_skipped_are_no_pass(site: Site, ann: Any) -> None:
    stored = site.ledger.guidelines.add(guideline(), StoredGuideline(0, "", "", added_by="operator"))
    job = begin(site, run_of(site, "ann", add_cloud(site), "lacking"))
    test_id = job.submission.key.test_id
    site.ledger.guidelines.choose(test_id, Choice(stored.id, PROGRAM))
    reason = "Skipped because object extension: tempurl is not enabled"
    made = [replace(one, status="skip", text=reason) if "temp_url" in one.test_id else one for one in events()]
    file = site.folder / "skipped"
    file.write_bytes(stream(made))
    acceptance.accept(site.ledger, job.proof, Upload.of(file, {}))
    ann.get(f"{site.url}/runs/{test_id}")
    assert ann.find_element(By.ID, "state").text == "✗ Not met" and ann.title.startswith("Not met")
    shows(ann, f"Does not meet {PROGRAM}", "Why requirements are not met", "4 required tests skipped", reason)
    shows(ann, "a skipped test counts as a failed one")
    ann.get(f"{site.url}/runs")
    shows(ann, "✗ Not met", "✗ 20/24")


def test_a_cancelled_run_tells_what_had_run(site: Site, ann: Any) -> None:
    job = begin(site, run_of(site, "ann", add_cloud(site), "stopped"))
    beat(site, job, 9, 1)
    test_id = job.submission.key.test_id
    site.ledger.runs.cancel(test_id, "ann")
    site.ledger.attempts.report(job.proof, Report(RunState.CANCELLED, "stopped"))
    ann.get(f"{site.url}/runs/{test_id}")
    shows(ann, "9 of 24 tests had run", "8 passed", "1 failed")


def test_times_have_seconds_and_a_zone(site: Site, ann: Any) -> None:
    job = begin(site, run_of(site, "ann", add_cloud(site), "times"))
    ann.get(f"{site.url}/runs/{job.submission.key.test_id}")
    first = ann.find_element(By.CSS_SELECTOR, "#timeline time")
    assert "UTC" in first.get_attribute("title") and first.text.count(":") == 2
