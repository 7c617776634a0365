"""Results at the real RefStack: its own code takes them, knows whose they are, and judges them as ours does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from refstack_worker.contract.upload_key import PROOF, UploadKey
from refstack_worker.server.app import create_app
from refstack_worker.server.domain.guidelines import Choice, StoredGuideline
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from tests.refstack_vectors import recorded
from tests.refstack_vectors.__main__ import page_verdicts
from tests.support import refstack as installed
from tests.support.ledgers import Clock, Event, claimed, make_settings, stream
from tests.system.refstack import server
from tests.system.refstack.server import RefStack

PROGRAMS = [
    ("2020.06", "object"),
    ("2020.06", "compute"),
    ("2020.06", "platform"),
    ("2018.02", "platform"),
    ("2016.08", "object"),
    ("2015.03", "platform"),
    ("dns.2020.06", "dns"),
    ("orchestration.2018.02", "orchestration"),
]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RefStack]:
    with server.running(tmp_path_factory.mktemp("refstack"), installed.guideline_files()) as running:
        yield running


class Vendor:
    """Ann, at the real RefStack and here."""

    def __init__(self, real: RefStack, folder: Path) -> None:
        self.real, self.folder = real, folder
        settings = make_settings(folder)
        self.ledger = Ledger(replace(settings, outbound=replace(settings.outbound, upload_url=real.url)), Clock())
        self.ledger.upgrade()
        self.user = self.ledger.accounts.add_user("ann", "a@x").id
        self.token = self.ledger.tokens.add("ann", ["vendor"], self.user)[1]
        self.client = create_app(self.ledger).test_client()
        self.key = UploadKey(rsa.generate_private_key(65537, 2048))
        self.person = real.sign_in("ann")
        real.register_key(self.person, self.key.public, self.key.sign(PROOF))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return self.client.open(path, method=method, headers={"Authorization": f"Bearer {self.token}"}, json=body)

    def finish(self, ran: list[recorded.Ran], choice: Choice) -> int:
        job = claimed(self.ledger, owner_id=self.user)
        self.ledger.guidelines.choose(job.submission.key.test_id, choice)
        kinds = {"passed": "success", "failed": "fail", "skipped": "skip"}
        events = [Event(f"{name}[id-{uuid}]" if uuid else name, kinds[status]) for name, uuid, status in ran]
        (self.folder / "result").write_bytes(stream(events))
        acceptance.accept(self.ledger, job.proof, Upload.of(self.folder / "result", {"cpid": "c" * 32}))
        return job.submission.key.test_id

    def guideline(self, name: str) -> StoredGuideline:
        text = installed.guideline_files()[f"{name}.json"].read_text(encoding="utf-8")
        return self.ledger.guidelines.add(text, StoredGuideline(0, name, ""))


@pytest.fixture(scope="module")
def ann(real: RefStack, tmp_path_factory: pytest.TempPathFactory) -> Vendor:
    return Vendor(real, tmp_path_factory.mktemp("ann"))


@pytest.mark.parametrize(("name", "target"), PROGRAMS)
def test_an_upload_is_the_vendors_and_is_judged_as_here(ann: Vendor, name: str, target: str) -> None:
    content = json.loads(installed.guideline_files()[f"{name}.json"].read_bytes())
    ran = recorded.cases(content)["every fifth failed"]
    test_id = ann.finish(ran, Choice(ann.guideline(name).id, target))
    ann.ask("PUT", "/v1/me/upload-key", {"private_key": ann.key.pem, "openid": server.openid("ann")})
    done = ann.ask("POST", f"/v1/runs/{test_id}/upload").json
    assert (done["repeated"], done["notes"]) == (False, []), done
    assert ann.ask("POST", f"/v1/runs/{test_id}/upload").json == {**done, "repeated": True}
    stored = ann.real.result(ann.person, done["test_id"])
    assert (stored["user_role"], stored["cpid"]) == ("owner", "c" * 32)
    assert stored["meta"]["user"] == server.openid("ann")
    version = f"{name.removeprefix(f'{target}.')}.json"
    assert (stored["meta"]["guideline"], stored["meta"]["target"]) == (version, target)
    assert sorted(stored["results"]) == recorded.passed_names(ran)
    # the page's own code, over what the server stored
    cases = {f"{name}.json": {"stored": [(test, "", "passed") for test in stored["results"]]}}
    page = page_verdicts({f"{name}.json": content}, cases, {f"{name}.json": [target]})
    theirs = page[f"{name}.json"][target]["stored"]
    ours = ann.ledger.guidelines.verdict(test_id)
    assert ours is not None
    assert ours.refstack_count() == (theirs["counted_passed"], theirs["counted"])


def test_what_is_signed_elsewhere_is_the_signers(ann: Vendor, tmp_path: Path) -> None:
    test_id = ann.finish([("t.C.one", "", "passed")], Choice(ann.guideline("2020.06").id, "object"))
    (tmp_path / "key").write_text(ann.key.pem)
    (tmp_path / "request").write_bytes(ann.ask("GET", f"/v1/runs/{test_id}/exports/refstack").data)
    sign = ["openssl", "dgst", "-sha256", "-sign", "key", "-out", "signature", "request"]
    subprocess.run(sign, cwd=tmp_path, check=True)
    given = {"signature": (tmp_path / "signature").read_bytes().hex(), "public_key": ann.key.public}
    done = ann.ask("POST", f"/v1/runs/{test_id}/upload", given).json
    assert ann.real.result(ann.person, done["test_id"])["meta"]["user"] == server.openid("ann")


def test_a_key_that_is_not_registered_is_said_to_be_so(ann: Vendor) -> None:
    test_id = ann.finish([("t.C.one", "", "passed")], Choice(ann.guideline("2020.06").id, "object"))
    key = UploadKey(rsa.generate_private_key(65537, 2048))
    ann.ask("PUT", "/v1/me/upload-key", {"private_key": key.pem})
    refused = ann.ask("POST", f"/v1/runs/{test_id}/upload")
    assert refused.status_code == 502 and "key not found" in refused.json["detail"]


@pytest.mark.parametrize(("name", "target"), PROGRAMS)
def test_the_tests_that_are_asked_for_are_those_that_the_server_lists(ann: Vendor, name: str, target: str) -> None:
    theirs = ann.real.test_list(f"{name}.json", target=target, type="required", alias="true", flag="false")
    names = {line.partition("[")[0] for line in theirs}
    _stored, guideline = ann.ledger.guidelines.get(ann.guideline(name).id)
    assert {entry.partition("[")[0] for entry in guideline.program(target).entries()} == names
