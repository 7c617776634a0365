"""The console of a real run: each request in Tempest's own log is on the page once, in order, soon, without secrets.

Keystone, Swift, queue, worker and Tempest are real, and so is the browser: a script in its page notes when each line
came. ``tempest.log`` is held open while it is written, before it is masked, packed and removed, and is read here by
rules of this test's own.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.system.web import test_browser as pages  # skips this module too where there is no browser

if not os.environ.get("REFSTACK_TEST_FULL"):
    pytest.skip("tests/run full runs it", allow_module_level=True)

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.support.processes import eventually
from tests.support.standalone import GUIDELINE, POWERED_STORAGE, Standalone, guideline_file, standalone
from tests.system.accounts.people import Person, create
from tests.system.execute_test.conftest import Cloud, Options, cache_folder
from tests.system.web import look
from tests.system.web.test_real import shown

TESTS = 58
"""As OpenStack Powered Storage of 2020.06 requires."""
SOON = 3.0
"""Seconds from a line of the log until it stands on the page."""
RUN_SECONDS = 300.0
NOTE = """
addEventListener('DOMContentLoaded', () => {
    const at = document.getElementById('console');
    if (!at) return;
    const note = () => {
        const seen = JSON.parse(localStorage.getItem('seen') || '{}');
        for (const line of at.children) seen[line.id] ??= [Date.now() / 1000, line.textContent];
        localStorage.setItem('seen', JSON.stringify(seen));
    };
    new MutationObserver(note).observe(at, {childList: true});
});
"""
"""Notes when each line of the console came, also across the reload at the run's end."""
REQUEST = re.compile(r"^(\S+ \S+) \d+ INFO .*? Request \((\S+)\): (\d+) (\w+) \w+://[^/ ]+(/\S*|)")
TOKENS = re.compile(r"gAAAA[\w-]{20,}|rsq_\w{8,}")
"""Tokens of Keystone and of the queue."""


@dataclass(frozen=True)
class Sent:
    """A request, as Tempest's log and the console both have it."""

    test: str
    status: int
    method: str
    path: str


@dataclass(frozen=True)
class Place:
    """Everything that runs, and the passwords that nothing may show."""

    cloud: Cloud
    queue: Standalone
    token: Path
    people: tuple[Person, Person]

    @property
    def passwords(self) -> list[str]:
        return [self.cloud.admin_password, *(one.password for one in self.people)]


class HeldLog:
    """Holds ``tempest.log`` of a run open from when it appears, so that it can be read after its end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._over = threading.Event()
        self._file: Any = None
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while self._file is None and not self._over.wait(0.02):
            for path in self._folder.glob("**/log/tempest.log"):
                self._file = path.open("rb")

    def read(self) -> str:
        """Return all of it."""
        self._over.set()
        self._thread.join()
        assert self._file is not None, "no tempest.log was seen"
        with self._file as file:
            file.seek(0)
            return str(file.read().decode())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    guideline_file()
    base = tmp_path_factory.mktemp("console")
    people = (Person("one", "pw-of-one-8d1f"), Person("two", "pw-of-two-3c9a"))
    with Cloud(base / "cloud", Options(cache_folder())) as cloud, standalone(base) as queue:
        create(cloud, people)
        yield Place(cloud, queue, queue.user("ann", "Acme"), people)


@contextmanager
def browser(place: Place, folder: Path) -> Iterator[Any]:
    driver = look.browser(folder)
    driver.implicitly_wait(pages.PATIENCE)
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NOTE})
    try:
        driver.get(f"{place.queue.url}/sign-in")
        pages.fill(driver, token=place.token.read_text())
        driver.find_element(By.CSS_SELECTOR, "main button").click()
        pages.eventually(driver, lambda: "/sign-in" not in driver.current_url)
        yield driver
    finally:
        driver.quit()


def test_the_console_shows_what_tempest_logs(place: Place, tmp_path: Path) -> None:
    held = HeldLog(place.queue.folder / "worker" / "runs")
    with browser(place, tmp_path) as driver:
        add_cloud(driver, place)
        test_id = start(driver)
        watch(driver, place)
        noted: dict[str, Any] = json.loads(driver.execute_script("return localStorage.getItem('seen')"))
        said = driver.find_element(By.ID, "timeline").text
    log = held.read()
    lines = console(place, test_id)
    logged = list(requests_in(log))
    assert len(logged) > TESTS
    requests = [line for line in lines if line["event"] == "request"]
    assert [as_sent(line) for line in requests] == [sent for sent, _at in logged]
    assert_tests_once(lines)
    delays = assert_soon(noted, lines)
    shown_text = json.dumps(lines) + "".join(text for _at, text in noted.values()) + said
    assert not [word for word in place.passwords if word in shown_text] and not TOKENS.search(shown_text)
    # the form's own fields are options of this project, not unknown ones of Tempest's
    assert "unknown options" not in said, said
    print(f"\n{len(requests)} requests of {TESTS} tests; the page had each line after {delays}")


def add_cloud(driver: Any, place: Place) -> None:
    """Add the cloud with all three users and their projects, passwords stored."""
    driver.get(f"{place.queue.url}/guidelines")
    driver.find_element(By.NAME, "file").send_keys(str(guideline_file()))
    pages.click(driver, "Upload")
    pages.shows(driver, POWERED_STORAGE)
    driver.get(f"{place.queue.url}/clouds/new")
    driver.execute_script("for (const each of document.querySelectorAll('main details')) each.open = true")
    one, two = place.people
    pages.fill(driver, label="Acme", endpoint_v3=place.cloud.auth_url, region=place.cloud.region)
    pages.fill(driver, test_user=one.name, password=one.password, project_name=one.project, domain_name="Default")
    pages.fill(driver, alt_user=two.name, alt_password=two.password, alt_project_name=two.project)
    pages.fill(driver, alt_domain_name="Default", admin_user=place.cloud.admin_user)
    pages.fill(driver, admin_password=place.cloud.admin_password, admin_project_name=place.cloud.admin_project)
    pages.fill(driver, admin_domain_name=place.cloud.admin_domain)
    pages.fill(driver, options="object-storage-feature-enabled.discoverable_apis = all")
    driver.find_element(By.CSS_SELECTOR, "input[name=keep][value=yes]").click()
    pages.click(driver, "Add and check")
    pages.shows(driver, "Connected.")


def start(driver: Any) -> int:
    pages.click(driver, "New run")
    program = f"{GUIDELINE}: {POWERED_STORAGE} ({TESTS} tests)"
    Select(driver.find_element(By.NAME, "program")).select_by_visible_text(program)
    pages.click(driver, "Start run")
    pages.eventually(driver, lambda: driver.current_url.rpartition("/")[2].isdigit())
    return int(driver.current_url.rpartition("/")[2])


def watch(driver: Any, place: Place) -> None:
    """Stay on the page until the run has ended and the console of the last page has come."""
    eventually(
        lambda: f"passed: {pages.body(driver)}\n{place.queue.logs()}",
        lambda: shown(driver, "#state") in ("✓ Passed", "✗ Tests failed", "! Error"),
        RUN_SECONDS,
    )
    assert shown(driver, "#state") == "✓ Passed", place.queue.logs()
    pages.shows(driver, f"{TESTS} of {TESTS}")
    time.sleep(2.5)  # the page asks for lines every second


def console(place: Place, test_id: int) -> list[Mapping[str, Any]]:
    """Return all lines that the server has."""
    found: list[Mapping[str, Any]] = []
    with place.queue.api(place.token) as api:
        while True:
            after = {"after": found[-1]["number"]} if found else {}
            page = api.get(f"/v1/runs/{test_id}/console", {"limit": 2000, **after})
            if not page["lines"]:
                return found
            found += page["lines"]


def requests_in(log: str) -> Iterator[tuple[Sent, float]]:
    """Yield the requests that a log has, each with the second at which it was written."""
    for line in log.splitlines():
        match = REQUEST.match(line)
        assert match or "Request (" not in line, line
        if match:
            at, test, status, method, path = match.groups()
            yield Sent(test, int(status), method, path), datetime.fromisoformat(at).timestamp()


def as_sent(line: Mapping[str, Any]) -> Sent:
    return Sent(line["test"], line["status"], line["method"], line["path"])


def assert_tests_once(lines: list[Mapping[str, Any]]) -> None:
    """Each test starts once and ends once, passed."""
    tests = [(line["test"], line["status"]) for line in lines if line["event"] == "test"]
    assert len(tests) == len(set(tests))
    for status in ("started", "passed"):
        assert len({name for name, how in tests if how == status}) >= TESTS, status


def assert_soon(noted: Mapping[str, Any], lines: list[Mapping[str, Any]]) -> str:
    """Check that each line stood on the page soon; return how long that took."""
    numbers = [int(name.removeprefix("c")) for name in noted]
    assert sorted(numbers) == [line["number"] for line in lines], "each line is on the page once"
    sent = {line["number"]: line["time"] for line in lines if line["event"] == "request"}
    took = {number: noted[f"c{number}"][0] - at for number, at in sent.items()}
    slowest = sorted(took.items(), key=lambda one: -one[1])[:9]
    delays = sorted(took.values())
    assert delays[-1] < SOON, f"of lines 0 to {lines[-1]['number']} the slowest were {slowest}"
    middle, late = delays[len(delays) // 2], delays[len(delays) * 95 // 100]
    return f"{middle:.2f} s (median), {late:.2f} s (95 %), {delays[-1]:.2f} s (all)"
