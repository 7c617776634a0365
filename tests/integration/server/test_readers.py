"""What is given out of a result, read by foreign programs: stestr, subunit2junitxml, a JUnit schema, openssl.

The schema is that of the xunit plugin of Jenkins, as the source of pytest has it for its own tests; it is fetched from
the index, and kept in the cache.
"""

from __future__ import annotations

import json
import sys
import tarfile
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from cryptography.hazmat.primitives import serialization

from refstack_worker import process
from refstack_worker.cli.api_client import Access, Api
from refstack_worker.errors import RefstackError
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.results import acceptance
from tests.support import http_server
from tests.support.ledgers import Event, stream
from tests.support.processes import CACHE, TOP
from tests.system.web.site import Site, begin, run_of, serving

sys.path.append(str(TOP / "installer"))

from democloud import software  # noqa: E402 - the installer is no package of the project

PYTEST_SOURCE = "8.3.4"
PASSWORD = "pw-of-the-cloud-<&>-1"
IDS = [str(uuid.UUID(int=number, version=4)) for number in range(5)]
AREA = "tempest.api.object_storage.test_x.XTest"
EVENTS = [
    Event(f"{AREA}.test_passes[id-{IDS[0]},smoke]", seconds=0.25),
    Event(f"{AREA}.test_passes_too[id-{IDS[1]}]"),
    Event(f"{AREA}.test_fails[id-{IDS[2]}]", "fail", f"Traceback\n]]> <b> & é \x1b[31m\nDenied: {PASSWORD}"),
    Event(f"{AREA}.test_is_skipped[id-{IDS[3]}]", "skip", "no realm <here>"),
    Event("setUpClass (tempest.api.identity.TokensTest)", "fail", "Traceback\nUnauthorized"),
]
UNCHECKED = process.Options(check=False)
FAILED = {f"{AREA}.test_fails", "setUpClass (tempest.api.identity.TokensTest)"}


@pytest.fixture(scope="module")
def readers() -> Path:
    """The programs of a virtualenv of their own."""
    return software.virtualenv(CACHE, "readers", [Path(__file__).with_name("readers.txt")], print) / "bin"


@pytest.fixture(scope="module")
def schema() -> Path:
    """A schema of JUnit files that is in use elsewhere."""
    kept = CACHE / "sources" / f"junit-of-pytest-{PYTEST_SOURCE}.xsd"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        words = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "pytest", "--dest", kept.parent]
        process.run([sys.executable, *words, f"pytest=={PYTEST_SOURCE}"], process.Options(timeout=300))
        with tarfile.open(kept.parent / f"pytest-{PYTEST_SOURCE}.tar.gz") as source:
            member = source.extractfile(f"pytest-{PYTEST_SOURCE}/testing/example_scripts/junit-10.xsd")
            assert member is not None
            kept.write_bytes(member.read())
    return kept


@dataclass
class Refstack:
    """A stand-in for ``v1/results`` that has openssl look at the signature over the bytes that came.

    :ivar on_the_way: what happens to a body before it gets there.
    """

    folder: Path
    server: http_server.Scripted
    accepted: list[dict[str, Any]] = field(default_factory=list)
    on_the_way: tuple[bytes, bytes] = (b"", b"")

    def answer(self, asked: http_server.Asked) -> http_server.Reply:
        """Do what the server does: 400 for what is malformed or not signed by that key, else 201."""
        body = asked.body.replace(*self.on_the_way)
        if (asked.method, asked.path) != ("POST", "/v1/results/"):
            return http_server.as_json({"title": "Not found"}, 404)
        if not self._is_signed(body, asked.headers["X-Public-Key"], asked.headers["X-Signature"]):
            return http_server.as_json({"title": "Signature verification failed"}, 400)
        whole = json.loads(body)
        if trouble := malformed(whole):
            return http_server.as_json({"title": trouble}, 400)
        self.accepted.append(whole)
        number = len(self.accepted)
        return http_server.as_json({"test_id": f"t-{number}", "url": f"{self.server.url}/#/results/t-{number}"}, 201)

    def _is_signed(self, body: bytes, public_key: str, signature: str) -> bool:
        key = serialization.load_ssh_public_key(public_key.encode("ascii"))
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        (self.folder / "public.pem").write_bytes(key.public_bytes(serialization.Encoding.PEM, form))
        (self.folder / "signature").write_bytes(bytes.fromhex(signature))
        (self.folder / "body").write_bytes(body)
        words = ["openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "body"]
        done = process.run(words, process.Options(cwd=self.folder, check=False))
        return done.returncode == 0 and "Verified OK" in done.stdout


def malformed(whole: Any) -> str:
    """Return what is wrong with an upload by the rules of the server: these properties, of these types, no other."""
    if set(whole) != {"cpid", "duration_seconds", "results"}:
        return f"properties {sorted(whole)}"
    if not isinstance(whole["cpid"], str) or type(whole["duration_seconds"]) is not int or not whole["results"]:
        return "types"
    for one in whole["results"]:
        if set(one) - {"name", "uuid"} or not isinstance(one["name"], str) or not uuid.UUID(one["uuid"]):
            return f"result {one}"
    return ""


@pytest.fixture
def refstack(tmp_path: Path) -> Iterator[Refstack]:
    with http_server.serving() as server:
        folder = tmp_path / "refstack"
        folder.mkdir()
        made = Refstack(folder, server)
        server.otherwise = made.answer
        yield made


@pytest.fixture
def site(tmp_path: Path, refstack: Refstack) -> Iterator[Site]:
    key = tmp_path / "upload.pem"
    process.run(["openssl", "genrsa", "-out", key, "2048"])
    folder = tmp_path / "site"
    folder.mkdir()
    with serving(folder, UPLOAD_URL=refstack.server.url, UPLOAD_KEY_FILE=str(key)) as made:
        yield made


@pytest.fixture
def run(site: Site, tmp_path: Path) -> int:
    """A run of ann's with a result; its password stands in a failure's text."""
    new = replace(run_of(site, "ann", 0, "By <hand> & \x07"), cloud_id=None)
    job = begin(site, replace(new, conf_json={"identity": {"password": PASSWORD}}))
    file = tmp_path / "posted"
    file.write_bytes(stream(EVENTS))
    acceptance.accept(site.ledger, job.proof, Upload.of(file, {"cpid": "c0ffee"}))
    return int(job.submission.key.test_id)


def api(site: Site, who: str = "ann") -> Api:
    return Api(Access(site.url, site.tokens[who]))


def saved(site: Site, path: str, file: Path) -> Path:
    with api(site) as asked, file.open("wb") as out:
        asked.save(path, out)
    for spelt in (PASSWORD, escape(PASSWORD)):
        assert spelt.encode() not in file.read_bytes()
    return file


def test_the_junit_file_is_valid_by_a_schema_that_is_not_ours(
    site: Site, run: int, readers: Path, schema: Path, tmp_path: Path
) -> None:
    file = saved(site, f"/v1/runs/{run}/exports/junit", tmp_path / "result.xml")
    process.run([readers / "xmlschema-validate", "--schema", schema, file])
    suite = ET.parse(file).getroot().find("testsuite")
    assert suite is not None and (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "2", "1")
    # the schema is looked at: what it does not know is refused
    file.write_text(
        file.read_text("utf-8").replace("<failure ", "<failed ").replace("</failure>", "</failed>"), "utf-8"
    )
    assert process.run([readers / "xmlschema-validate", "--schema", schema, file], UNCHECKED).returncode != 0


def test_the_stream_is_read_back_by_subunit2junitxml(site: Site, run: int, readers: Path, tmp_path: Path) -> None:
    file = saved(site, f"/v1/runs/{run}/subunit", tmp_path / "result.subunit")
    out = tmp_path / "theirs.xml"
    # its status tells that tests failed
    done = process.run([readers / "subunit2junitxml", "--output-to", out, file], UNCHECKED)
    assert done.returncode == 1, done.stderr
    cases = list(ET.parse(out).getroot().iter("testcase"))
    assert len(cases) == len(EVENTS)
    failing = [one for one in cases if one.find("failure") is not None or one.find("error") is not None]
    assert len(failing) == 2 and sum(one.find("skipped") is not None for one in cases) == 1
    assert any("Denied: " in "".join(one.itertext()) for one in failing)


def test_the_stream_is_read_back_by_stestr(site: Site, run: int, readers: Path, tmp_path: Path) -> None:
    file = saved(site, f"/v1/runs/{run}/subunit", tmp_path / "result.subunit")
    place = process.Options(cwd=tmp_path, check=False)
    (tmp_path / ".stestr.conf").write_text("[DEFAULT]\ntest_path=.\n")
    assert process.run([readers / "stestr", "init"], place).returncode == 0
    loaded = process.run([readers / "stestr", "load", file], place)
    assert f"Ran {len(EVENTS)} tests" in loaded.stdout and "failures=2, skips=1" in loaded.stdout, loaded
    listed = process.run([readers / "stestr", "failing", "--list"], place).stdout.splitlines()
    assert {line.partition("[")[0] for line in listed if line} == FAILED


def test_an_upload_is_signed_as_openssl_verifies(site: Site, run: int, refstack: Refstack) -> None:
    with api(site, "operator") as asked:
        told = asked.post(f"/v1/runs/{run}/upload", {})
    result = {"test_id": "t-1", "url": f"{refstack.server.url}/#/results/t-1"}
    assert told == {**result, "notes": [], "repeated": False}
    (whole,) = refstack.accepted
    assert whole["cpid"] == "c0ffee"
    named = {(one["name"], one["uuid"]) for one in whole["results"]}
    assert named == {(f"{AREA}.test_passes", IDS[0]), (f"{AREA}.test_passes_too", IDS[1])}


def test_an_upload_that_was_changed_on_the_way_is_refused_and_said_to_be(
    site: Site, run: int, refstack: Refstack
) -> None:
    refstack.on_the_way = (b"c0ffee", b"decaff")
    with api(site, "operator") as asked, pytest.raises(RefstackError, match="Signature verification failed"):
        asked.post(f"/v1/runs/{run}/upload", {})
    assert refstack.accepted == []


def test_nobody_uploads_another_vendors_result(site: Site, run: int, refstack: Refstack) -> None:
    with api(site, "bob") as asked, pytest.raises(RefstackError, match=f"run {run}"):
        asked.post(f"/v1/runs/{run}/upload", {})
    assert refstack.server.asked == []
