"""A vendor at the pages: forms that are sent, and the errors that come back."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from flask.testing import FlaskClient

from refstack_worker.server.app import create_app
from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Clock

HERE = {"Origin": "http://localhost"}


class Vendor:
    """A vendor with a browser, a cloud that stores its passwords and one that does not."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        user = ledger.accounts.add_user("ann", "ann@x", ledger.accounts.add_vendor("Acme").id).id
        self.user = user
        self.token = ledger.tokens.add("ann", ["vendor"], user)[1]
        conf = {"identity": {"password": "kept-1"}}
        new = NewCloud("stored", "https://k.example/v3", test_user="u", user_id=user, conf_json=conf)
        self.stored = ledger.clouds.add(new).cloud.id
        self.other = ledger.clouds.add(replace(new, label="not stored", conf_json=None)).cloud.id
        ledger.nodes.record(Node("n", ("47.0.0",), 2, 0, (), "ready", "", clock(), clock()))
        self.client: FlaskClient = create_app(ledger).test_client()
        self.sign_in()

    def sign_in(self, **more: str) -> Any:
        return self.client.post("/sign-in", data={"token": self.token, **more}, headers=HERE)

    def forget_session(self) -> None:
        """Come back as a browser whose session has ended."""
        self.client = create_app(self.ledger).test_client()

    def key(self) -> str:
        found = re.search(r'name="form_key" value="([0-9a-f]+)"', self.client.get("/about").text)
        assert found
        return found[1]

    def send(self, path: str, **form: Any) -> Any:
        return self.client.post(path, data={"form_key": self.key(), **form}, headers=HERE)

    def run(self, **form: Any) -> Any:
        return self.send("/runs/new", **{"cloud_id": self.stored, "version": "47.0.0", "what": "all", **form})

    @property
    def runs(self) -> int:
        return len(self.ledger.runs.find(RunQuery()))


def errors(page: str) -> dict[str, str]:
    return dict(re.findall(r'<p class="wrong" id="e-(\w+)">([^<]*)</p>', page))
