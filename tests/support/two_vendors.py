"""Two vendors with users, a cloud, a guideline and runs, and their calls of the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from refstack_worker.server.app import create_app
from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from tests.support.ledgers import Event, stream, submit
from tests.unit.server.domain.test_verdict import UUIDS, schema_2

PASSWORD = "kept-password-5519"


class Who:
    """A caller with a token."""

    def __init__(self, ledger: Ledger, client: FlaskClient, name: str, scopes: list[str], user_id: int | None) -> None:
        self.client, self.user_id = client, user_id
        self.headers = {"Authorization": f"Bearer {ledger.tokens.add(name, scopes, user_id)[1]}"}

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        given = {**self.headers, **headers}
        return self.client.open(path, method=method, json=body, headers=given)


class World:
    """Two vendors with a cloud, a guideline and runs of ann's."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.ledger, self.folder = ledger, folder
        self.client = create_app(ledger).test_client()
        self.vendors = [ledger.accounts.add_vendor(name).id for name in ("Acme", "Bravo")]
        ids = {
            name: ledger.accounts.add_user(name, f"{name}@x", vendor).id
            for name, vendor in zip(("ann", "abe", "bob"), (self.vendors[0], *self.vendors))
        }
        self.ann, self.abe, self.bob = (
            Who(ledger, self.client, "same name", ["vendor"], ids[name]) for name in ("ann", "abe", "bob")
        )
        self.reader = Who(ledger, self.client, "reader", ["vendor", "read"], ids["ann"])
        self.operator = Who(ledger, self.client, "op", ["operator"], None)
        conf = {"identity": {"password": PASSWORD}}
        self.cloud = ledger.clouds.add(
            NewCloud("Acme Cloud", "https://k.example/v3", user_id=ids["ann"], conf_json=conf)
        )
        self.guideline = self.ann("POST", "/v1/guidelines", {"text": schema_2()}).json["id"]

    def wish(self, **given: Any) -> dict[str, Any]:
        return {"tempest_version": "47.0.0", "cloud_id": self.cloud.cloud.id, **given}

    def finish(self, test_id: int, *ids: int) -> None:
        job = submit(self.ledger, test_id)
        self.ledger.attempts.claim(job.proof, Claim(job.claim_id, "node", "47.0.0"))
        file = self.folder / "result"
        file.write_bytes(stream([Event(f"t.C.test_{n}[id-{UUIDS[n]}]", "fail" if n == 4 else "success") for n in ids]))
        acceptance.accept(self.ledger, job.proof, Upload.of(file, {"cpid": "abc"}))
