"""A real Chromium goes through what vendors once stumbled over while a run goes on, in lists and at odd addresses."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("selenium") is None or not shutil.which("chromedriver"):
    pytest.skip("needs selenium and chromium-driver", allow_module_level=True)

from selenium.webdriver.common.by import By

from refstack_worker.cli.queue.main import main
from refstack_worker.contract.console import Batch, RequestLine
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.server.domain.attempts import Claim, Release
from tests.support import hostile
from tests.support.ledgers import Job, submit
from tests.system.web import test_findings as findings
from tests.system.web.site import Site, beat, begin, furnish, run_of
from tests.system.web.test_browser import body, eventually, fill, shows, until
from tests.system.web.test_findings import add_cloud, follow

site, driver, ann = findings.site, findings.driver, findings.ann
SILENCE = "has not reported for"


def test_a_server_that_stands_still_for_twelve_seconds_is_said(tmp_path: Path, driver: Any) -> None:
    with hostile.site(tmp_path, 1) as far:
        follow(driver, far)
        os.kill(far.process.pid, signal.SIGSTOP)
        try:
            shows(driver, "The connection to the server is interrupted.")
        finally:
            os.kill(far.process.pid, signal.SIGCONT)
        eventually(driver, lambda: "interrupted" not in body(driver))


def test_a_page_that_was_opened_often_is_not_called_interrupted(site: Site, ann: Any) -> None:
    """The streams of pages that were left are ended late; the next page's own is then ended early by the server."""
    job = begin(site, run_of(site, "ann", add_cloud(site), "nightly"))
    for _ in range(12):
        ann.get(f"{site.url}/runs/{job.submission.key.test_id}")
        until(ann, "#state", "Running")
    end = time.monotonic() + 8
    while time.monotonic() < end:
        assert "interrupted" not in body(ann)
        time.sleep(0.1)


def test_a_node_that_falls_silent_is_said_while_it_lasts(site: Site, ann: Any) -> None:
    job = begin(site, run_of(site, "ann", add_cloud(site), "nightly"))
    ann.get(f"{site.url}/runs/{job.submission.key.test_id}")
    until(ann, "#state", "Running")
    assert SILENCE not in body(ann)
    shows(ann, f"node-a {SILENCE} 10 s. If it stays silent, the run is taken away from this node.")
    ann.refresh()
    shows(ann, f"node-a {SILENCE}")
    beat(site, job, 3)
    eventually(ann, lambda: SILENCE not in body(ann))


def test_the_console_of_the_next_attempt_begins_anew(site: Site, ann: Any) -> None:
    first = begin(site, run_of(site, "ann", add_cloud(site), "nightly"))
    talk(site, first, [f"/first/{number}" for number in range(30)])
    ann.get(f"{site.url}/runs/{first.submission.key.test_id}")
    until(ann, "#console", "/first/29")
    site.ledger.attempts.requeue(first.submission.key, Release.LOST, "silent")
    second = submit(site.ledger, first.submission.key.test_id)
    site.ledger.attempts.claim(second.proof, Claim(second.claim_id, "node-b", "47.0.0"))
    talk(site, second, ["/second/0", "/second/1"], dropped=7)
    until(ann, "#console", "/second/1")
    lines = ann.find_elements(By.CSS_SELECTOR, "#console > div")
    assert len(lines) == 2 and "/second/0" in lines[0].text
    assert "The node could not send 7 lines." in ann.find_element(By.ID, "console-note").text


def talk(site: Site, job: Job, paths: list[str], dropped: int = 0) -> None:
    lines = tuple(RequestLine(time.time(), "GET", path, 200, 4) for path in paths)
    site.ledger.console.add(job.proof, job.claim_id, Batch(0, lines, dropped))


def test_time_gone_time_left_and_the_state_in_the_tab(site: Site, ann: Any) -> None:
    job = begin(site, run_of(site, "ann", add_cloud(site), "nightly"))
    test_id = job.submission.key.test_id
    ann.get(f"{site.url}/runs/{test_id}")
    beat(site, job, 12, 1)
    until(ann, "#left", "about 12 s left")
    until(ann, "#elapsed", "running for")
    first = ann.find_element(By.ID, "elapsed").text
    eventually(ann, lambda: ann.find_element(By.ID, "elapsed").text != first)
    assert ann.title.startswith("50 % Running: nightly")
    started = ann.find_element(By.CSS_SELECTOR, "main time[data-ago]")
    assert started.text == "just now" and re.search(r"\((UTC|\w+/\w+)\)", started.get_attribute("title"))


def test_a_cancelled_run_has_the_same_counts_in_both_lists(
    site: Site, ann: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = begin(site, run_of(site, "ann", add_cloud(site), "stopped"))
    beat(site, job, 9, 1)
    site.ledger.runs.cancel(job.submission.key.test_id, "ann")
    site.ledger.attempts.report(job.proof, Report(RunState.CANCELLED, "stopped"))
    ann.get(f"{site.url}/runs")
    row = ann.find_element(By.XPATH, "//tr[contains(., 'stopped')]")
    assert "Cancelled" in row.text and "8 passed 1 failed" in row.text
    file = tmp_path / "token"
    file.write_text(site.tokens["ann"])
    assert main(["--url", site.url, "--token-file", str(file), "run", "list", "-f", "csv"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "stopped" in line)
    assert '"stopped",8,1,0' in line


def test_rows_have_numbers_people_and_times_that_read_well(site: Site, ann: Any) -> None:
    ids = furnish(site)
    ann.get(f"{site.url}/runs")
    row = ann.find_element(By.XPATH, f"//tr[.//a[@href='/runs/{ids['judged']}']]")
    for said in ("Tests failed", "Example Powered Storage", "✗ 20/24", "Acme Public, Frankfurt", "18 s", "20 h ago"):
        assert said in row.text, said
    number = row.find_element(By.CSS_SELECTOR, "th .nowrap")
    assert number.text == f"#{ids['judged']}"


@pytest.mark.parametrize("path", ["/nonsense", "/favicon.ico", "/users", "/runs/999999", "/runs/x", "/clouds/999999"])
def test_an_unknown_address_is_a_page(site: Site, ann: Any, path: str) -> None:
    ann.get(site.url + path)
    shows(ann, "Not found", "Go to runs")


def test_a_deep_link_with_a_query_outlives_the_sign_in(site: Site, driver: Any) -> None:
    ids = furnish(site)
    for path in (f"/runs/{ids['judged']}?status=failed&q=url_get_2", "/runs?state=tests-failed", "/matrix"):
        driver.delete_all_cookies()
        driver.get(site.url + path)
        fill(driver, token=site.tokens["ann"])
        driver.find_element(By.CSS_SELECTOR, "main button").click()
        eventually(driver, lambda wanted=site.url + path: driver.current_url == wanted)


def test_a_run_without_a_name_or_cloud_is_a_row_like_others(site: Site, ann: Any) -> None:
    site.ledger.runs.add(replace(run_of(site, "ann", 0, ""), cloud_id=None))
    ann.get(f"{site.url}/runs")
    assert "Run 1" in ann.find_element(By.CSS_SELECTOR, "tbody tr").text
