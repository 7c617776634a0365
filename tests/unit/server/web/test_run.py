"""The page of a run that several nodes share, and of one of its parts; the form that asks for it."""

from __future__ import annotations

import re

import pytest

from refstack_worker.server.domain.runs import RunSpec
from refstack_worker.server.domain.shards import ShardPlan
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.web import run_form
from tests.support.ledgers import CONF, new_run
from tests.support.split_runs import held, look, part
from tests.unit.server.web.test_pages import Browser, browser

__all__ = ["browser"]


@pytest.fixture
def run(browser: Browser, ledger: Ledger) -> int:
    browser.sign_in()
    plans = (ShardPlan(("a.B",), 7, CONF), ShardPlan(("a.C",), 5, CONF), ShardPlan(("a.D",), 1, is_last=True))
    spec = RunSpec(tempest_version="47.0.0", shards=2)
    return ledger.runs.add(new_run(spec=spec, shards=plans, owner_id=browser.user)).test_id


def test_it_shows_which_node_runs_which_part(browser: Browser, ledger: Ledger, run: int) -> None:
    held(ledger, run, 2, "node-7")
    look(ledger)
    page = browser.client.get(f"/runs/{run}").text
    rows = [re.sub(r"<[^>]+>|\s+", " ", row).split() for row in re.findall(r"<tr><td>.*?</tr>", page, re.DOTALL)]
    assert rows == [
        ["1", "–", "queued", "7", "0"],
        ["2", "node-7", "claimed", "5", "0"],
        ["3", "–", "waits", "for", "the", "others", "1", "0"],
    ]
    assert f'<a href="/runs/{part(ledger, run, 2)}">2</a>' in page


def test_the_page_of_a_part_leads_to_the_whole(browser: Browser, ledger: Ledger, run: int) -> None:
    page = browser.client.get(f"/runs/{part(ledger, run, 1)}").text
    assert f'shard of <a href="/runs/{run}">' in page
    assert f'"/runs/{part(ledger, run, 1)}"' not in browser.client.get("/runs").text
    assert f'"/runs/{run}"' in browser.client.get("/runs").text


def test_the_form_asks_for_nodes(browser: Browser) -> None:
    browser.sign_in()
    assert 'name="shards"' in browser.client.get("/runs/new").text
    given = {"version": "47.0.0", "what": "all", "cloud_id": "1"}
    with browser.client.application.test_request_context():
        assert run_form.body_of({**given, "shards": "3"})["shards"] == 3
        assert "shards" not in run_form.body_of({**given, "shards": " "})
