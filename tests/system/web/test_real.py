"""A real Chromium goes through it all on real parts: Keystone, Swift, queue, worker, Tempest.

``test_browser.py`` has the pages on a furnished ledger; here nothing is furnished. The Swift lacks a middleware at
first, so that a run has failures; then it is repaired, and what failed is run again.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.web import test_browser as pages  # skips this module too where there is no browser

sys.path.append(str(Path(__file__).resolve().parents[3] / "installer"))

from democloud.cloud import Cloud, Options
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select
from subunit import ByteStreamToStreamResult
from testtools import StreamSummary

from tests.support.clouds import SLOW_TESTS, TESTS
from tests.support.processes import eventually
from tests.support.standalone import (
    GUIDELINE,
    INTEROP,
    POWERED_STORAGE,
    TEMPEST,
    Standalone,
    guideline_file,
    standalone,
)
from tests.support.tempests import locked
from tests.system.execute_test.conftest import cache_folder
from tests.system.web import look

OFF = "slo"
LACKING = [
    f"tempest.api.object_storage.test_object_slo.ObjectSloTest.test_{name}"
    for name in ("delete_large_object", "list_large_object_metadata", "retrieve_large_object", "upload_manifest")
]
"""What fails without it."""
RUN_SECONDS = 180.0
FORMATS = {"Subunit stream": "subunit", "JUnit XML": "xml", "HTML report": "html", "CSV": "csv", "JSON": "json"}
TEXT = "const at = document.querySelector(arguments[0]); return at ? at.textContent.trim() : ''"
STATUS = """
const done = arguments[2], stop = new AbortController();
fetch(arguments[0], {...arguments[1], signal: stop.signal})
    .then(answer => { done(answer.status); stop.abort() }, error => done(String(error)))
"""


@dataclass(frozen=True)
class Asked:
    """The guideline that a run is made by."""

    file: Path
    name: str
    total: int

    @property
    def choice(self) -> str:
        return f"{self.name}: {POWERED_STORAGE} ({self.total} tests)"


@dataclass(frozen=True)
class Place:
    """Everything that runs."""

    cloud: Cloud
    queue: Standalone
    base: Path
    tokens: dict[str, Path]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    base = tmp_path_factory.mktemp("real")
    with Cloud(base / "cloud", Options(cache_folder(), (OFF,))) as cloud, standalone(base) as queue:
        yield Place(cloud, queue, base, {"ann": queue.user("ann", "Acme"), "bob": queue.user("bob", "Bravo")})


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    if INTEROP:
        return Asked(guideline_file(), GUIDELINE, 58)
    made = tmp_path / "small.json"
    made.write_text(small_guideline([*TESTS, *LACKING]))
    return Asked(made, "2026.11", len(TESTS) + len(LACKING))


def small_guideline(tests: list[str]) -> str:
    """A guideline for where the real ones are not at hand: tests by name."""
    return json.dumps(
        {
            "metadata": {"id": "2026.11", "schema": "2.0"},
            "platforms": {POWERED_STORAGE: {"description": "", "components": [{"name": "storage"}]}},
            "components": {"storage": {"capabilities": {"required": ["some"], "advisory": []}}},
            "capabilities": {"some": {"description": "", "tests": {test: {} for test in tests}}},
        }
    )


@contextmanager
def signed_in(place: Place, who: str) -> Iterator[Any]:
    """Give a browser of one user; a page that does not come fails the test with what was logged."""
    folder = place.base / f"downloads-of-{who}"
    folder.mkdir()
    driver = look.browser(folder)
    driver.implicitly_wait(pages.PATIENCE)
    try:
        driver.get(f"{place.queue.url}/sign-in")
        driver.find_element(By.NAME, "token").send_keys(place.tokens[who].read_text())
        driver.find_element(By.CSS_SELECTOR, "main button").click()
        pages.eventually(driver, lambda: "/sign-in" not in driver.current_url)
        yield driver
    finally:
        driver.quit()


def test_a_vendor_goes_through_it_all_and_another_gets_nothing_of_it(place: Place, asked: Asked) -> None:
    with signed_in(place, "ann") as driver:
        add_guideline(driver, asked)
        cloud_id = add_cloud(driver, place)
        first = start_by_program(driver, asked)
        watch_to_the_end(driver, place, "✗ Tests failed")
        read_verdict(driver, asked)
        download_each(driver, place, asked, first)
        cancelled = start_by_name(driver, SLOW_TESTS[0])
        cancel_in_the_middle(driver, place)
        again = run_again_what_failed(driver, place, first)
        paths = [*of_run(first, again), f"/clouds/{cloud_id}", f"/clouds/{cloud_id}/change"]
        assert {path: ask(driver, path) for path in paths} == dict.fromkeys(paths, 200)
        assert not [line for line in driver.get_log("browser") if line["level"] == "SEVERE"]
    with signed_in(place, "bob") as driver:
        nothing_of_it(driver, place, (first, cancelled, again), cloud_id)
    with place.queue.api(place.tokens["ann"]) as api:
        assert api.get(f"/v1/runs/{first}")["state"] == "finished", "another vendor's user could delete it"
    assert place.cloud.admin_password not in place.queue.logs()


def add_guideline(driver: Any, asked: Asked) -> None:
    pages.click(driver, "Guidelines")
    driver.find_element(By.NAME, "file").send_keys(str(asked.file))
    pages.click(driver, "Upload")
    pages.shows(driver, asked.name, POWERED_STORAGE, str(asked.total))


def add_cloud(driver: Any, place: Place) -> int:
    """Enter the real cloud, its password kept; its check has to say what answered there."""
    pages.click(driver, "Clouds")
    pages.click(driver, "Add cloud")
    pages.fill(driver, label="Acme Public", endpoint_v3=place.cloud.auth_url, region=place.cloud.region)
    pages.click(driver, "Second user and administrator (most programs need one of them)")
    pages.fill(driver, admin_user=place.cloud.admin_user, admin_password=place.cloud.admin_password)
    pages.fill(driver, admin_project_name=place.cloud.admin_project)
    # else the tests of what the Swift lacks are skipped, as its /info does not name it
    pages.fill(driver, options="object-storage-feature-enabled.discoverable_apis = all")
    driver.find_element(By.CSS_SELECTOR, "input[name=keep][value=yes]").click()
    pages.click(driver, "Add and check")
    pages.shows(driver, "Connected.", "Identity API v3", "identity, object-store", "Swift 2.", place.cloud.region)
    assert place.cloud.admin_password not in driver.page_source
    return int(driver.current_url.rpartition("/")[2])


def start_by_program(driver: Any, asked: Asked) -> int:
    new_run(driver, "By program")
    Select(driver.find_element(By.NAME, "program")).select_by_visible_text(asked.choice)
    # without a version the one that fits the program is taken, and stands there; the cache may hold several
    there = [one.name for one in locked(TEMPEST).iterdir()]
    assert driver.find_element(By.NAME, "version").get_attribute("placeholder") in there
    return begin(driver)


def start_by_name(driver: Any, name: str) -> int:
    new_run(driver, "By name")
    driver.find_element(By.CSS_SELECTOR, "input[value=names]").click()
    pages.fill(driver, tests=name, version=TEMPEST)
    return begin(driver)


def new_run(driver: Any, label: str) -> None:
    pages.click(driver, "Clouds")
    pages.click(driver, "Acme Public")
    pages.click(driver, "New run")
    pages.fill(driver, label=label)


def begin(driver: Any) -> int:
    pages.click(driver, "Start run")
    pages.eventually(driver, lambda: driver.current_url.rpartition("/")[2].isdigit())
    return int(driver.current_url.rpartition("/")[2])


def watch_to_the_end(driver: Any, place: Place, state: str) -> None:
    """Stay on the page, which follows the run by itself; progress has to be seen on the way."""
    seen: set[str] = set()

    def is_there() -> bool:
        done = shown(driver, "#done")
        if " of " in done:
            seen.add(done)
        return shown(driver, "#state") == state

    eventually(lambda: f"{state}: {pages.body(driver)}\n{place.queue.logs()}", is_there, RUN_SECONDS)
    assert len(seen) > 1, f"the page did not follow: {seen}"
    pages.shows(driver, "Queued", "Picked up by standalone with Tempest", "Running", "Uploading results")


def shown(driver: Any, css: str) -> str:
    """Return the text at a place of the page as it is now; nothing while there is no such place, or no page."""
    try:
        return str(driver.execute_script(TEXT, css))
    except WebDriverException:
        # the page is being loaded again
        return ""


def wait_for(driver: Any, place: Place, state: str) -> None:
    eventually(
        lambda: f"{state}: {pages.body(driver)}\n{place.queue.logs()}",
        lambda: shown(driver, "#state") == state,
        RUN_SECONDS,
    )


def read_verdict(driver: Any, asked: Asked) -> None:
    verdict = driver.find_element(By.CLASS_NAME, "verdict")
    assert f"Does not meet {POWERED_STORAGE}" in verdict.text
    assert f"{asked.total - len(LACKING)} of {asked.total} required tests passed" in verdict.text
    named = [one.text for one in verdict.find_elements(By.CSS_SELECTOR, ".lacking li li")]
    assert sorted(named) == sorted(f"failed {test}" for test in LACKING)
    # and the failures with their text, on the real stream
    driver.find_element(By.CSS_SELECTOR, ".figures .failed a").click()
    rows = "section tbody tr"
    pages.eventually(driver, lambda: len(driver.find_elements(By.CSS_SELECTOR, rows)) == len(LACKING))
    pages.shows(driver, "Failure details", *LACKING)


def download_each(driver: Any, place: Place, asked: Asked, run: int) -> None:
    folder = place.base / "downloads-of-ann"
    for link, suffix in FORMATS.items():
        if not driver.find_element(By.CSS_SELECTOR, "details.menu").get_attribute("open"):
            pages.click(driver, "Download")
        pages.click(driver, link)
        file = folder / f"run-{run}.{suffix}"
        pages.eventually(driver, lambda file=file: file.exists() and file.stat().st_size > 0)
        assert place.cloud.admin_password.encode() not in file.read_bytes()
    read = {suffix: (folder / f"run-{run}.{suffix}").read_bytes() for suffix in FORMATS.values()}
    failed = {name for name, status in of_stream(read["subunit"]).items() if status == "failed"}
    assert failed == set(LACKING) and len(of_stream(read["subunit"])) == asked.total
    suite = ET.fromstring(read["xml"])
    cases = {f"{one.get('classname')}.{one.get('name')}": one for one in suite.iter("testcase")}
    assert {name for name, one in cases.items() if one.find("failure") is not None} == failed
    assert len(cases) == asked.total
    rows = list(csv.DictReader(io.StringIO(read["csv"].decode("utf-8"))))
    assert {row["name"] for row in rows if row["status"] == "failed"} == failed and len(rows) == asked.total
    whole = json.loads(read["json"])
    assert whole["verdict"]["required"]["passed"] == asked.total - len(LACKING)
    page = read["html"].decode("utf-8")
    assert POWERED_STORAGE in page and all(name in page for name in cases)


def of_stream(stream: bytes) -> dict[str, str]:
    """Read a subunit stream with its own library: name without attributes → passed or failed."""
    found: dict[str, str] = {}

    class Statuses(StreamSummary):
        def status(self, test_id: Any = None, test_status: Any = None, **more: Any) -> None:
            if test_id and test_status in ("success", "fail"):
                found[test_id.partition("[")[0]] = "passed" if test_status == "success" else "failed"

    ByteStreamToStreamResult(io.BytesIO(stream)).run(Statuses())
    return found


def cancel_in_the_middle(driver: Any, place: Place) -> None:
    def is_running() -> bool:
        done = shown(driver, "#done").partition(" ")[0]
        return done.isdigit() and int(done) > 2

    eventually(lambda: f"tests are run\n{place.queue.logs()}", is_running, RUN_SECONDS)
    pages.confirmed(driver, "Cancel run")
    wait_for(driver, place, "– Cancelled")
    assert "Download" not in pages.body(driver), "a cancelled run has no result"


def run_again_what_failed(driver: Any, place: Place, run: int) -> int:
    """Repair the cloud, and run again what failed: nothing else is run, and it passes."""
    place.cloud.stop_swift()
    place.cloud.start_swift()
    driver.get(f"{place.queue.url}/runs/{run}")
    pages.click(driver, "Rerun")
    driver.find_element(By.CSS_SELECTOR, "input[value=failed]").click()
    driver.find_element(By.CSS_SELECTOR, "form.inside button").click()
    pages.eventually(driver, lambda: not driver.current_url.endswith(f"/runs/{run}"))
    again = int(driver.current_url.rpartition("/")[2])
    wait_for(driver, place, "✓ Passed")
    figures = [one.text for one in driver.find_elements(By.CSS_SELECTOR, ".figures dd")]
    assert figures[:3] == [str(len(LACKING)), "0", "0"]
    return again


def nothing_of_it(driver: Any, place: Place, runs: tuple[int, ...], cloud_id: int) -> None:
    """As a user of another vendor: no page, no download, no change."""
    for path in ("/runs", "/clouds", "/guidelines", "/runs/new"):
        driver.get(place.queue.url + path)
        pages.eventually(driver, lambda: pages.body(driver))
        assert "Acme" not in driver.page_source and POWERED_STORAGE not in driver.page_source, path
    key = driver.find_element(By.NAME, "form_key").get_attribute("value")
    look_at = [path for run in runs for path in of_run(run, runs[-1])]
    look_at += [f"/clouds/{cloud_id}", f"/clouds/{cloud_id}/change", "/fleet"]
    change = [f"/runs/{run}/{verb}" for run in runs for verb in ("cancel", "rerun", "delete")]
    change += [f"/clouds/{cloud_id}/{verb}" for verb in ("change", "check", "delete")]
    form = {"method": "POST", "body": f"form_key={key}&label=x&endpoint_v3=https%3A%2F%2Fcloud.example%2Fv3",
            "headers": {"Content-Type": "application/x-www-form-urlencoded"}}  # fmt: skip
    asked = [(path, {}) for path in look_at] + [(path, form) for path in change]
    got = {f"{how.get('method', 'GET')} {path}": ask(driver, path, how) for path, how in asked}
    assert {call: status for call, status in got.items() if status not in (403, 404)} == {}
    # the key was right: with it, the owner can open the owner's pages
    assert ask(driver, "/runs/new", form) == 400


def of_run(run: int, other: int) -> list[str]:
    """Return the paths of everything that is to be seen of a run with a result."""
    files = [f"/file/{name}" for name in ("subunit", "junit", "html", "csv", "json")]
    return [f"/runs/{run}{part}" for part in ("", "/events", f"/compare?with={other}", *files)]


def ask(driver: Any, path: str, how: Mapping[str, Any] | None = None) -> Any:
    """Return the status with which the server answers the browser's session."""
    return driver.execute_async_script(STATUS, path, how or {})
