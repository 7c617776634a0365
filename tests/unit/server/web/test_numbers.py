"""Numbers in paths and fields that no database holds, or that Python does not read, are refused, not faults."""

from __future__ import annotations

import pytest
from werkzeug.routing import IntegerConverter, Rule

from refstack_worker.server.web import run_form
from tests.support.callers import Browser, Callers
from tests.support.schedules import stored_cloud
from tests.support.vendor_pages import errors

LONG = "9" * 5000


def pages_of_numbers(callers: Callers) -> list[Rule]:
    def has_number(rule: Rule) -> bool:
        return any(isinstance(one, IntegerConverter) for one in rule._converters.values())

    return [rule for rule in callers.app.url_map.iter_rules() if rule.endpoint.startswith("web.") and has_number(rule)]


@pytest.mark.parametrize("number", [0, 2**31, 99999999999999999999])
def test_no_page_has_a_number_that_no_id_has(callers: Callers, number: int) -> None:
    browser, rules = callers.operator.browser(), pages_of_numbers(callers)
    assert len(rules) > 30
    for rule in rules:
        path = callers.app.url_map.bind("localhost").build(rule.endpoint, dict.fromkeys(rule.arguments, number))
        answer = browser.get(path) if "GET" in (rule.methods or ()) else browser.send(path)
        assert answer.status_code == 404, path
        assert "There is nothing with this number." in answer.text, path


@pytest.mark.parametrize("number", ["²", "٣", LONG, "99999999999", "-1", "0"])
def test_a_schedule_needs_the_number_of_a_cloud_and_of_a_guideline(
    callers: Callers, browser: Browser, number: str
) -> None:
    form = {"version": "47.0.0", "time": "03:15"}
    refused = browser.send("/schedules", cloud_id=number, **form)
    assert refused.status_code == 400 and errors(refused.text) == {"cloud_id": "Choose a cloud."}
    cloud = stored_cloud(callers.ledger, callers.ann.user_id)
    refused = browser.send("/schedules", cloud_id=cloud, program=f"{number}:X", **form)
    assert refused.status_code == 400 and errors(refused.text) == {"program": "Choose a program."}
    assert callers.ledger.schedules.all() == []


@pytest.mark.parametrize("number", ["²", LONG, "-1", "many"])
def test_the_days_of_a_token_are_a_whole_number(browser: Browser, number: str) -> None:
    refused = browser.send("/tokens", name="x", scope="vendor", days=number)
    assert refused.status_code == 400 and "must be a whole number from 0 to 3650" in refused.text


def test_other_fields_and_queries(callers: Callers, browser: Browser) -> None:
    for number in ("²", LONG):
        form = {"cloud_id": number, "version": "47.0.0", "what": "all", "timeout": number}
        assert browser.send("/runs/new", **form).status_code == 400
        assert browser.get(f"/runs?cloud={number}").status_code == 400
        operator = callers.operator.browser()
        assert operator.send(f"/vendors/{callers.acme}", name="Acme", max_open_runs=number).status_code == 400
        assert operator.send(f"/users/{callers.ann.user_id}", name="Ann", vendor_id=number).status_code == 400


def test_a_version_of_a_node_that_is_none_is_sorted_last() -> None:
    assert sorted(["47.0.0", "²." + LONG, "9.0.0"], key=run_form._order) == ["²." + LONG, "9.0.0", "47.0.0"]
