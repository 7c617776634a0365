from __future__ import annotations

import re

import pytest

from tests.support.callers import Browser, Callers
from tests.support.schedules import stored_cloud


@pytest.fixture
def cloud(callers: Callers) -> int:
    return stored_cloud(callers.ledger, callers.ann.user_id)


def test_a_schedule_is_added_paused_and_deleted(callers: Callers, browser: Browser, cloud: int) -> None:
    form = {"cloud_id": cloud, "version": "47.0.0", "time": "03:15", "days": ["mon", "fri"], "label": "nightly"}
    assert browser.send("/schedules", **form, tests="^tempest.api\n").status_code == 303
    (made,) = callers.ledger.schedules.all()
    assert made.body == {"tempest_version": "47.0.0", "testcases": {"regexes": ["^tempest.api"]}}
    shown = browser.get("/schedules").text
    assert "03:15, Monday, Friday" in shown and "Chosen tests" in shown and "nightly" in shown
    browser.send("/schedules/1/pause", paused="yes")
    assert "Paused" in browser.get("/schedules").text
    assert callers.bob.browser().send("/schedules/1/delete").status_code == 404
    browser.send("/schedules/1/delete")
    assert "No schedules yet" in browser.get("/schedules").text


def test_what_was_typed_stays_when_something_is_wrong(browser: Browser, cloud: int) -> None:
    refused = browser.send("/schedules", cloud_id=cloud, time="03:15", days=["sun"], label="nightly")
    assert refused.status_code == 400 and "Enter a Tempest version, or choose a program" in refused.text
    assert 'value="03:15"' in refused.text and 'value="nightly"' in refused.text
    assert re.findall('value="([a-z]+)" checked', refused.text) == ["sun"]


def test_why_no_run_started_is_said(callers: Callers, browser: Browser, cloud: int) -> None:
    browser.send("/schedules", cloud_id=cloud, version="47.0.0", time="03:15")
    (due,) = callers.ledger.schedules.all()
    callers.ledger.schedules.close(due, None, "run <1> has not ended")
    assert "no run started. run &lt;1&gt; has not ended" in browser.get("/schedules").text


def test_readers_only_look(callers: Callers, browser: Browser, cloud: int) -> None:
    browser.send("/schedules", cloud_id=cloud, version="47.0.0", time="03:15")
    reader = callers.reader.browser()
    assert "every day" in reader.get("/schedules").text and "Add schedule" not in reader.get("/schedules").text
    assert reader.send("/schedules/1/delete").status_code == 403
