"""The audit log as CSV: what others chose as names opens as text."""

from __future__ import annotations

import csv

from refstack_worker.server.app import create_app
from refstack_worker.server.ledger.ledger import Ledger


def test_no_cell_of_the_audit_log_is_a_formula(ledger: Ledger) -> None:
    name = '=HYPERLINK("http://evil/")'
    _, secret = ledger.tokens.add(name, ["operator"])
    client = create_app(ledger).test_client()
    answer = client.put("/v1/announcement", json={"text": "Maintenance"}, headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code < 300, answer.text
    assert client.post("/sign-in", data={"token": secret}).status_code == 302
    rows = list(csv.DictReader(client.get("/audit.csv").text.splitlines()))
    assert f"'{name}" in {row["actor"] for row in rows}
    assert not any(cell.startswith("=") for row in rows for cell in row.values())
