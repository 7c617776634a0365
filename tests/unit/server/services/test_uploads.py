"""Uploads to RefStack: whose name a result gets, and that it gets there once."""

from __future__ import annotations

import base64
import inspect
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from refstack_worker.config.server import ServerSettings
from refstack_worker.contract.cpid import cpid_of
from refstack_worker.contract.upload_key import UploadKey
from refstack_worker.errors import ServerError, UnansweredError
from refstack_worker.server.app import create_app
from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.domain.guidelines import Choice, StoredGuideline
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.domain.uploads import UploadRecord
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.uploads import PENDING_SECONDS
from refstack_worker.server.results import acceptance, confined, upload
from refstack_worker.server.services import uploads
from tests.support import http_server
from tests.support.http_server import Scripted, as_json
from tests.support.ledgers import Clock, Event, claimed, stream
from tests.unit.server.domain.test_verdict import schema_2

needs_skipping = pytest.mark.skipif(
    "unsafe_skip_rsa_key_validation" not in inspect.signature(serialization.load_pem_private_key).parameters,
    reason="this cryptography proves primes outside of Python's lock",
)
ACCEPTED = {"test_id": "r-1", "url": "https://refstack/#/results/r-1"}


@pytest.fixture(scope="module")
def keys() -> list[UploadKey]:
    return [UploadKey(rsa.generate_private_key(65537, 2048)) for _ in range(2)]


@pytest.fixture
def refstack() -> Iterator[Scripted]:
    with http_server.serving() as server:
        server.on("/v1/results/", as_json(ACCEPTED, 201))
        yield server


class Vendor:
    """Ann with a finished run, and RefStack."""

    def __init__(
        self, settings: ServerSettings, clock: Clock, folder: Path, refstack: Scripted, key: UploadKey
    ) -> None:
        operators = folder / "operators.pem"
        operators.write_text(key.pem)
        outbound = replace(settings.outbound, upload_url=refstack.url, upload_key=operators)
        self.ledger = Ledger(replace(settings, outbound=outbound), clock)
        self.refstack, self.folder = refstack, folder
        self.client = create_app(self.ledger).test_client()
        self.ann = self.ledger.accounts.add_user("ann", "a@x").id
        self.tokens = {
            name: self.ledger.tokens.add(name, [scope], user)[1]
            for name, scope, user in (("ann", "vendor", self.ann), ("op", "operator", None))
        }
        self.test_id = self.finish()

    def finish(self, summary: dict[str, Any] | None = None, choice: Choice | None = None) -> int:
        cloud = self.ledger.clouds.add(NewCloud("c", "https://Cloud.Example:5000/v3", user_id=self.ann))
        job = claimed(self.ledger, owner_id=self.ann, cloud_id=cloud.cloud.id)
        if choice:
            self.ledger.guidelines.choose(job.submission.key.test_id, choice)
        (self.folder / "result").write_bytes(stream([Event("t.C.one"), Event("t.C.two", "fail")]))
        acceptance.accept(self.ledger, job.proof, Upload.of(self.folder / "result", summary or {}))
        return job.submission.key.test_id

    def ask(self, method: str, path: str, body: Any = None, who: str = "ann") -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        return self.client.open(path, method=method, headers=headers, **({"json": body} if body is not None else {}))

    def upload(self, body: Any = None, who: str = "ann") -> Any:
        return self.ask("POST", f"/v1/runs/{self.test_id}/upload", body, who)


@pytest.fixture
def vendor(ledger: Ledger, clock: Clock, tmp_path: Path, refstack: Scripted, keys: list[UploadKey]) -> Vendor:
    return Vendor(ledger.settings, clock, tmp_path, refstack, keys[1])


def stored(vendor: Vendor, key: UploadKey, openid: str = "") -> None:
    answer = vendor.ask("PUT", "/v1/me/upload-key", {"private_key": key.pem, "openid": openid})
    assert answer.json == {"public": key.public, "openid": openid}


def test_a_vendor_uploads_under_the_vendors_own_key(vendor: Vendor, keys: list[UploadKey]) -> None:
    stored(vendor, keys[0])
    assert vendor.upload().json == {**ACCEPTED, "repeated": False, "notes": []}
    (asked,) = vendor.refstack.asked
    assert asked.headers["X-Public-Key"] == keys[0].public
    assert asked.headers["X-Signature"] == keys[0].sign(asked.body)
    assert json.loads(asked.body) == {
        "cpid": cpid_of("https://cloud.example"),
        "duration_seconds": 2,
        "results": [{"name": "t.C.one"}],
    }


def test_a_vendor_never_uploads_under_the_operators_name(vendor: Vendor) -> None:
    answer = vendor.upload()
    assert answer.status_code == 409 and "key set" in answer.json["detail"]
    assert vendor.refstack.asked == []


def test_an_operator_may_upload_under_the_operators_key(vendor: Vendor, keys: list[UploadKey]) -> None:
    assert vendor.upload(who="op").status_code == 200
    assert vendor.refstack.asked[0].headers["X-Public-Key"] == keys[1].public


def test_a_second_upload_sends_nothing_and_shows_the_first(vendor: Vendor, keys: list[UploadKey]) -> None:
    stored(vendor, keys[0])
    assert [vendor.upload().json["repeated"] for _ in range(3)] == [False, True, True]
    assert len(vendor.refstack.asked) == 1


def test_an_upload_that_failed_can_be_tried_again(vendor: Vendor, keys: list[UploadKey]) -> None:
    stored(vendor, keys[0])
    vendor.refstack.on("/v1/results/", as_json({"detail": "no"}, 401), as_json(ACCEPTED, 201))
    assert vendor.upload().status_code == 502
    assert vendor.upload().json["repeated"] is False


def test_a_result_whose_answer_was_lost_is_sent_again_only_when_asked_for(
    vendor: Vendor, keys: list[UploadKey], clock: Clock
) -> None:
    stored(vendor, keys[0])
    vendor.refstack.on("/v1/results/", as_json({}, 504), as_json(ACCEPTED, 201))
    lost = vendor.upload()
    assert lost.status_code == 502 and "--again" in lost.json["detail"]
    for seconds in (0, 86400):
        clock.forward(seconds)
        later = vendor.upload()
        assert later.status_code == 409 and "may be at" in later.json["detail"]
    assert len(vendor.refstack.asked) == 1
    assert vendor.upload({"again": True}).json["repeated"] is False
    assert vendor.upload({"again": True}).json["repeated"] is True
    assert len(vendor.refstack.asked) == 2


def test_the_page_of_a_run_says_that_its_result_may_be_there(vendor: Vendor, keys: list[UploadKey]) -> None:
    stored(vendor, keys[0])
    vendor.refstack.on("/v1/results/", as_json({}, 504), as_json(ACCEPTED, 201))
    vendor.client.post("/sign-in", data={"token": vendor.tokens["ann"]})
    page = f"/runs/{vendor.test_id}"
    assert "Upload to RefStack again" not in vendor.client.get(page).text
    vendor.upload()
    text = vendor.client.get(page).text
    assert "the result may be at" in text and "Upload to RefStack again" in text
    (key, *_) = re.findall(r'name="form_key" value="([0-9a-f]+)"', text)
    assert vendor.client.post(f"{page}/upload", data={"form_key": key}).status_code == 409
    assert vendor.client.post(f"{page}/upload", data={"form_key": key, "again": "yes"}).status_code == 303
    assert "Uploaded to RefStack" in vendor.client.get(page).text


def test_an_upload_whose_process_died_may_have_arrived(vendor: Vendor, keys: list[UploadKey], clock: Clock) -> None:
    stored(vendor, keys[0])
    server = vendor.ledger.settings.outbound.upload_url
    vendor.ledger.uploads.reserve(UploadRecord(vendor.test_id, server, key_digest="d", uploaded_by="ann"))
    assert vendor.upload({"again": True}).status_code == 409, "it may still be under way"
    assert not vendor.ledger.uploads.is_unknown(vendor.test_id, server)
    clock.forward(PENDING_SECONDS)
    assert vendor.ledger.uploads.is_unknown(vendor.test_id, server)
    assert vendor.upload().status_code == 409
    assert vendor.upload({"again": True}).status_code == 200


def test_a_server_that_was_not_reached_has_no_result(keys: list[UploadKey]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        free_port = bound.getsockname()[1]
    with pytest.raises(ServerError, match="cannot be reached") as error:
        upload.send(f"http://127.0.0.1:{free_port}", upload.sign(b"{}", keys[0]))
    assert not isinstance(error.value, UnansweredError)


def test_a_signature_that_was_made_elsewhere(vendor: Vendor, keys: list[UploadKey]) -> None:
    request = vendor.ask("GET", f"/v1/runs/{vendor.test_id}/exports/refstack").data
    given = {"signature": keys[0].sign(request), "public_key": f"{keys[0].public} ann@laptop"}
    wrong = {**given, "signature": keys[0].sign(request + b" ")}
    assert vendor.upload(wrong).status_code == 400
    assert vendor.upload({"signature": "00"}).status_code == 400
    assert vendor.refstack.asked == []
    assert vendor.upload(given).status_code == 200
    assert vendor.refstack.asked[0].body == request


def test_guideline_and_target_are_set_where_the_owner_is_known(vendor: Vendor, keys: list[UploadKey]) -> None:
    stored(vendor, keys[0], "https://openid/ann")
    text = schema_2().replace('"Storage"', '"OpenStack Powered Storage"')
    guideline = vendor.ledger.guidelines.add(text, StoredGuideline(0, "", ""))
    vendor.test_id = vendor.finish(choice=Choice(guideline.id, "Storage"))
    for name in ("guideline", "target"):
        vendor.refstack.on(f"/v1/results/r-1/meta/{name}", as_json("", 201))
    assert vendor.upload().json["notes"] == []
    said = {asked.path.rpartition("/")[2]: asked for asked in vendor.refstack.asked[1:]}
    assert {name: asked.body for name, asked in said.items()} == {"guideline": b"2020.06.json", "target": b"object"}
    assert said["target"].headers["Authorization"].startswith("Bearer ")


def test_what_cannot_be_set_is_said(vendor: Vendor, keys: list[UploadKey]) -> None:
    guideline = vendor.ledger.guidelines.add(schema_2(), StoredGuideline(0, "", ""))
    stored(vendor, keys[0])
    vendor.test_id = vendor.finish(choice=Choice(guideline.id, "Half"))
    (note,) = vendor.upload().json["notes"]
    assert "OpenID" in note
    stored(vendor, keys[0], "https://openid/ann")
    vendor.test_id = vendor.finish(choice=Choice(guideline.id, "Half"))
    (note,) = vendor.upload().json["notes"]
    assert "404" in note


def test_a_key_is_kept_sealed_and_can_be_removed(vendor: Vendor, keys: list[UploadKey]) -> None:
    assert vendor.ask("GET", "/v1/me/upload-key").status_code == 404
    stored(vendor, keys[0])
    text = Path(vendor.ledger.settings.database.url.removeprefix("sqlite:///")).read_bytes()
    assert b"PRIVATE KEY" not in text and keys[0].pem.splitlines()[2].encode() not in text
    assert vendor.ask("GET", "/v1/me/upload-key").json["public"] == keys[0].public
    assert vendor.ask("DELETE", "/v1/me/upload-key").status_code == 204
    assert vendor.ask("GET", "/v1/me/upload-key").status_code == 404
    assert vendor.ask("GET", "/v1/me/upload-key", who="op").status_code == 409


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN {0}-----\n-----END {0}-----".format("PRIVATE KEY")])
def test_what_is_no_key_is_refused(vendor: Vendor, text: str) -> None:
    assert vendor.ask("PUT", "/v1/me/upload-key", {"private_key": text}).status_code == 400


def test_the_nodes_cpid_goes_before_the_address(vendor: Vendor) -> None:
    vendor.test_id = vendor.finish({"cpid": "abc123"})
    assert vendor.ask("GET", f"/v1/runs/{vendor.test_id}/exports/refstack").json["cpid"] == "abc123"


def large_key(first: int, second: int) -> str:
    """A key of Mersenne primes, which anybody can make; to prove that they are primes takes seconds or minutes."""
    p, q = 2**first - 1, 2**second - 1
    public = rsa.RSAPublicNumbers(65537, p * q)
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return numbers.private_key(unsafe_skip_rsa_key_validation=True).private_bytes(*form).decode()


@needs_skipping
def test_a_key_that_takes_long_to_prove_stops_nobody(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 20,000 bits took 80 seconds, in which no other thread of the server went on."""
    answer = vendor.ask("PUT", "/v1/me/upload-key", {"private_key": large_key(9689, 9941)})
    assert answer.status_code == 400
    monkeypatch.setattr(confined, "MAX_CPU_SECONDS", 1)
    answer = vendor.ask("PUT", "/v1/me/upload-key", {"private_key": large_key(4423, 4253)})
    assert answer.status_code == 400 and "takes too long to check" in answer.text


@needs_skipping
def test_a_key_is_proved_in_another_process(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[dict[str, Any]] = []
    load = serialization.load_pem_private_key

    def noting(data: bytes, password: bytes | None, **more: Any) -> Any:
        loaded.append(more)
        return load(data, password, **more)

    monkeypatch.setattr(serialization, "load_pem_private_key", noting)
    stored(vendor, UploadKey(rsa.generate_private_key(65537, 2048)))
    assert vendor.upload().status_code == 200
    assert loaded and all(more == {"unsafe_skip_rsa_key_validation": True} for more in loaded)


def test_an_imported_result_is_never_uploaded_under_the_operators_name(vendor: Vendor, keys: list[UploadKey]) -> None:
    """The operator's key vouches for what ran on the operator's nodes."""
    content = base64.b64encode(stream([Event("t.C.one")])).decode()
    body = {"content": content, "tempest_version": "47.0.0", "cpid": "c0ffee"}
    vendor.test_id = vendor.ask("POST", "/v1/imports", body).json["test_id"]
    answer = vendor.upload(who="op")
    assert answer.status_code == 409 and "imported" in answer.json["detail"] and vendor.refstack.asked == []
    stored(vendor, keys[0])
    assert vendor.upload().status_code == 200


def test_one_upload_of_an_account_at_a_time(vendor: Vendor, keys: list[UploadKey]) -> None:
    """RefStack may be slow: the threads that answer are for others, too."""
    stored(vendor, keys[0])
    with uploads.TURNS.turn(f"user {vendor.ann}"):
        assert vendor.upload().status_code == 429
    assert vendor.upload().status_code == 200
