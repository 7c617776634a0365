"""Wheels from a site arrive whole or not at all, whatever the site does."""

from __future__ import annotations

import hashlib
import json
import ssl

import pytest

from refstack_worker.environments.lock import LockedWheel
from refstack_worker.environments.wheels import download
from refstack_worker.environments.wheels.download import Downloader, Landing, shown
from refstack_worker.errors import WheelError
from tests.support import http_server
from tests.support.certificate_authority import Authority
from tests.support.wheel_sites import serving

NAME = "pkg-1.0-py3-none-any.whl"
CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def site(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / NAME).write_bytes(CONTENT)
    with serving(tmp_path / "site") as server:
        yield server


@pytest.fixture
def landing(tmp_path):
    made = Landing(tmp_path / "parts", tmp_path / "whole")
    made.parts.mkdir()
    made.whole.mkdir()
    return made


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(download, "PAUSES", (0.0,))


@pytest.fixture
def wheel():
    return LockedWheel("pkg", "1.0", NAME, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


def fetch(site, wheel, landing):
    return Downloader().wheel(f"{site.url}/{NAME}", wheel, landing)


def test_arrives(site, wheel, landing):
    path = fetch(site, wheel, landing)
    assert path.parent == landing.whole
    assert path.read_bytes() == CONTENT
    assert list(landing.parts.iterdir()) == []


@pytest.mark.parametrize("fault", ["flip", "longer"])
def test_another_file_is_refused_and_not_kept(site, wheel, landing, fault):
    site.faults[NAME] = fault
    with pytest.raises(WheelError, match=NAME):
        fetch(site, wheel, landing)
    assert [*landing.parts.iterdir(), *landing.whole.iterdir()] == []


def test_a_break_is_resumed(site, wheel, landing):
    site.faults[NAME] = "dies-once"
    assert fetch(site, wheel, landing).read_bytes() == CONTENT
    first, second = (wanted for _, wanted in site.asked)
    assert first is None
    assert len(CONTENT) // 2 - download.PIECE < int(second[6:-1]) <= len(CONTENT) // 2


def test_a_site_that_dies_halfway_is_given_up(site, wheel, landing):
    site.faults[NAME] = "dies"
    with pytest.raises(WheelError, match=NAME):
        fetch(site, wheel, landing)
    assert len(site.asked) >= download.TRIES
    assert [*landing.parts.iterdir(), *landing.whole.iterdir()] == []


def test_a_site_that_answers_errors_is_given_up(site, wheel, landing):
    site.faults[NAME] = "error"
    with pytest.raises(WheelError, match=rf"{NAME}.*500"):
        fetch(site, wheel, landing)


def test_nobody_there(site, wheel, landing):
    with pytest.raises(WheelError, match=f"{NAME}.*cannot be reached"):
        Downloader().wheel("http://127.0.0.1:1/x", wheel, landing)


def test_what_a_killed_download_left_is_taken_up(site, wheel, landing):
    (landing.parts / f"{wheel.sha256}.part").write_bytes(CONTENT[:1000])
    assert fetch(site, wheel, landing).read_bytes() == CONTENT
    assert site.asked == [(f"/{NAME}", "bytes=1000-")]


def test_what_was_left_damaged_is_fetched_anew(site, wheel, landing):
    (landing.parts / f"{wheel.sha256}.part").write_bytes(b"\0" * 1000)
    assert fetch(site, wheel, landing).read_bytes() == CONTENT


def test_what_was_left_whole_is_not_asked_for_again(site, wheel, landing):
    (landing.parts / f"{wheel.sha256}.part").write_bytes(CONTENT)
    assert fetch(site, wheel, landing).read_bytes() == CONTENT


def test_a_site_without_ranges(site, wheel, landing):
    site.faults[NAME] = "no-ranges"
    (landing.parts / f"{wheel.sha256}.part").write_bytes(CONTENT[:1000])
    assert fetch(site, wheel, landing).read_bytes() == CONTENT


def test_absent_is_no_error(site, wheel, landing):
    site.faults[NAME] = "absent"
    assert fetch(site, wheel, landing) is None
    assert list(landing.parts.iterdir()) == []


def test_through_a_proxy(site, wheel, landing, monkeypatch):
    for name in ("http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", site.url)
    site.faults["elsewhere"] = "absent"
    Downloader().wheel("http://wheels.invalid/elsewhere", wheel, landing)
    assert site.asked[0][0] == "http://wheels.invalid/elsewhere"


def test_an_index_is_read(site, tmp_path):
    page = tmp_path / "site" / "pkg"
    page.mkdir()
    (page / "index.html").write_text(
        f'<a href="../other-1.0-py3-none-any.whl">x</a> <a href="../{NAME}#sha256=00">x</a>'
    )
    assert Downloader().link(f"{site.url}/pkg/index.html", NAME) == f"{site.url}/{NAME}"
    assert Downloader().link(f"{site.url}/pkg/index.html", "missing.whl") == ""
    assert Downloader().link(f"{site.url}/nothing/", NAME) == ""


def test_an_index_may_say_what_its_links_are_relative_to(site, tmp_path):
    page = tmp_path / "site" / "pkg"
    page.mkdir()
    (page / "index.html").write_text(f'<base href="/files/"><a href="{NAME}">x</a>')
    assert Downloader().link(f"{site.url}/pkg/index.html", NAME) == f"{site.url}/files/{NAME}"


def test_an_index_may_answer_json(site, tmp_path):
    """PEP 691; some servers have no other form, whatever they are asked for."""
    page = tmp_path / "site" / "pkg"
    page.mkdir()
    files = [{"filename": "other-1.0-py3-none-any.whl", "url": "../other", "hashes": {}},
             {"filename": NAME, "url": "/files/12345", "hashes": {"sha256": "00"}, "yanked": False}]  # fmt: skip
    (page / "index.html").write_text(json.dumps({"meta": {"api-version": "1.1"}, "name": "pkg", "files": files}))
    assert Downloader().link(f"{site.url}/pkg/", NAME) == f"{site.url}/files/12345"
    assert Downloader().link(f"{site.url}/pkg/", "missing.whl") == ""
    (page / "index.html").write_text('{"detail": "not a page"}')
    with pytest.raises(WheelError, match="pkg/: not the JSON of a package index"):
        Downloader().link(f"{site.url}/pkg/", NAME)


def test_a_file_of_an_index_may_have_its_name_only_beside_the_link(site, tmp_path):
    page = tmp_path / "site" / "pkg"
    page.mkdir()
    (page / "index.html").write_text(
        f'<a href="/get?id=1">other.whl</a>{NAME}<a href="/get?id=2#sha256=00">\n <b>{NAME}</b>\n</a>'
    )
    assert Downloader().link(f"{site.url}/pkg/", NAME) == f"{site.url}/get?id=2"
    # an address with the name counts more
    with (page / "index.html").open("a") as file:
        file.write(f'<a href="{NAME}">x</a>')
    assert Downloader().link(f"{site.url}/pkg/", NAME) == f"{site.url}/pkg/{NAME}"


def test_an_index_is_asked_for_what_is_read(site, monkeypatch):
    asked, page = [], Downloader.page

    def noted(self, url, headers):
        asked.append(headers)
        return page(self, url, headers)

    monkeypatch.setattr(Downloader, "page", noted)
    Downloader().link(f"{site.url}/pkg/", NAME)
    accepted = [one.partition(";")[0].strip() for one in asked[0]["Accept"].split(",")]
    assert accepted[:3] == [
        "application/vnd.pypi.simple.v1+html", "text/html", "application/vnd.pypi.simple.v1+json"
    ]  # fmt: skip


def test_a_link_of_an_index_that_is_no_address_is_overlooked(site, tmp_path):
    page = tmp_path / "site" / "pkg"
    page.mkdir()
    (page / "index.html").write_text(f'<a href="http://[broken/x.whl">x</a> <a href="../{NAME}">x</a>')
    assert Downloader().link(f"{site.url}/pkg/index.html", NAME) == f"{site.url}/{NAME}"


def test_no_password_in_messages():
    assert shown("https://me:secret@site.example:8080/a/b?token=x#y") == "https://site.example:8080/a/b"


def test_a_certificate_that_is_not_trusted_is_not_tried_again(tmp_path, wheel, landing):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority.create(tmp_path / "unknown").issue("server", "IP:127.0.0.1"))
    other = Authority.create(tmp_path / "other")
    said = r"its certificate is not trusted \(.*\); name the authority in ca_file \(refstack-package: --ca-file\)$"
    with http_server.serving(context) as server:
        with pytest.raises(WheelError, match=said) as refused:
            Downloader(str(other.pem)).wheel(f"{server.url}/{NAME}", wheel, landing)
    assert "HTTPSConnectionPool" not in str(refused.value)
