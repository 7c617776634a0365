"""``refstack-queue audit list`` and ``announcement …``."""

from __future__ import annotations

import csv

import pytest

from refstack_worker.cli.queue.main import main
from tests.system.web.site import Site
from tests.unit.cli.queue.conftest import CallAs


def test_what_is_announced_is_shown_and_audited(call_as: CallAs) -> None:
    assert call_as("operator", "announcement", "set", "Maintenance on Sunday").status == 0
    assert call_as("ann", "announcement", "show", "-f", "json").json["text"] == "Maintenance on Sunday"
    entries = call_as("operator", "audit", "list", "-f", "json").json
    assert ("operator", "announce", "/v1/announcement") in {(one["Who"], one["Action"], one["What"]) for one in entries}
    assert len(call_as("operator", "audit", "list", "--limit", "1", "-f", "json").json) == 1
    assert call_as("ann", "announcement", "set", "Mine").status == 8


def test_the_audit_log_as_csv_has_no_formula(site: Site, call_as: CallAs) -> None:
    name = '=HYPERLINK("http://evil/")'
    site.tokens["evil"] = site.ledger.tokens.add(name, ["operator"])[1]
    assert call_as("evil", "announcement", "set", "Maintenance").status == 0
    rows = list(csv.DictReader(call_as("operator", "audit", "list", "-f", "csv").out.splitlines()))
    assert f"'{name}" in {row["Who"] for row in rows}


@pytest.mark.parametrize("words", [("audit", "list", "--limit", "-5"), ("run", "list", "--limit", "-1")])
def test_a_limit_below_zero_is_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "argument --limit: '-" in capsys.readouterr().err
