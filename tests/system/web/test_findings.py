"""A real Chromium goes through what vendors once stumbled over: forms that let them fail, live pages, lists, results.

Each test does what was done when the fault was found, and finds it fixed.
"""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("selenium") is None or not shutil.which("chromedriver"):
    pytest.skip("needs selenium and chromium-driver", allow_module_level=True)

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.domain.runs import NewRun, RunQuery, RunSpec
from tests.support import hostile
from tests.support.ledgers import submit
from tests.system.web import look
from tests.system.web.site import Site, begin, finish, furnish, run_of, serving
from tests.system.web.test_browser import PATIENCE, body, click, confirmed, eventually, fill, shows, until


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Any]:
    made = look.browser(tmp_path)
    made.implicitly_wait(PATIENCE)
    yield made
    made.quit()


@pytest.fixture
def ann(site: Site, driver: Any) -> Any:
    """The browser, with ann signed in."""
    look.sign_in(driver, site, "ann")
    return driver


def add_cloud(site: Site, **given: Any) -> int:
    wanted = {"label": "Acme", "endpoint_v3": "https://k.example/v3", "user_id": site.users["ann"], **given}
    return site.ledger.clouds.add(NewCloud(**wanted)).cloud.id


def add_node(site: Site, *versions: str) -> None:
    now = time.time()
    site.ledger.nodes.record(Node("node-a", versions or ("47.0.0",), 2, 0, (), "ready", "0.1.0", now, now))


def runs(site: Site) -> int:
    return len(site.ledger.runs.find(RunQuery()))


def fill_run(driver: Any, site: Site, **fields: str) -> None:
    """Fill the form for a run of all tests."""
    driver.get(f"{site.url}/runs/new")
    Select(driver.find_element(By.NAME, "cloud_id")).select_by_index(1)
    driver.find_element(By.CSS_SELECTOR, "input[name=what][value=all]").click()
    fill(driver, **{"version": "47.0.0", **fields})


def open_details(driver: Any) -> None:
    driver.execute_script("for (const each of document.querySelectorAll('main details')) each.open = true")


def wrong_fields(driver: Any) -> list[str]:
    return [one.get_attribute("name") for one in driver.find_elements(By.CSS_SELECTOR, "[aria-invalid=true]")]


def test_an_untouched_form_starts_nothing(site: Site, ann: Any) -> None:
    add_cloud(site)
    ann.get(f"{site.url}/runs/new")
    assert Select(ann.find_element(By.NAME, "cloud_id")).first_selected_option.get_attribute("value") == ""
    ann.execute_script("document.querySelector('form[action=\"/runs/new\"]').noValidate = true")
    click(ann, "Start run")
    shows(ann, "to fix")
    assert ann.title.startswith("Error:") and runs(site) == 0


def test_a_cloud_without_stored_passwords_asks_for_them(site: Site, ann: Any) -> None:
    add_cloud(site, test_user="interop")
    add_node(site)
    fill_run(ann, site)
    click(ann, "Start run")
    shows(ann, "to fix")
    assert "password" in body(ann).lower() and runs(site) == 0


def test_projects_stay_without_passwords_and_passwords_with_others(site: Site, ann: Any) -> None:
    ann.get(f"{site.url}/clouds/new")
    open_details(ann)
    fill(ann, label="Mine", endpoint_v3=f"{site.url}/v3", test_user="one", project_name="p", password="pw-first-1")
    ann.find_element(By.CSS_SELECTOR, "input[name=keep][value=yes]").click()
    click(ann, "Add and check")
    shows(ann, "Stored (encrypted)", "identity.project_name")
    number = int(ann.current_url.rpartition("/")[2])
    click(ann, "Edit")
    open_details(ann)
    assert ann.find_element(By.NAME, "project_name").get_attribute("value") == "p"
    fill(ann, admin_user="root", admin_password="pw-admin-2")
    ann.find_element(By.CSS_SELECTOR, "input[name=keep][value=yes]").click()
    ann.find_element(By.CSS_SELECTOR, "main form button.main").click()
    shows(ann, "Stored (encrypted)", "root")
    stored = site.ledger.clouds.saved_passwords(number)
    assert stored == {"identity": {"password": "pw-first-1"}, "auth": {"admin_password": "pw-admin-2"}}


def test_a_bad_expression_loses_nothing_and_stands_at_its_field(site: Site, ann: Any) -> None:
    add_cloud(site, conf_json={"identity": {"password": "pw-1"}})
    fill_run(ann, site, label="kept label")
    ann.find_element(By.CSS_SELECTOR, "input[name=what][value=regexes]").click()
    open_details(ann)
    fill(ann, tests="tempest.api.(", concurrency="many")
    click(ann, "Start run")
    shows(ann, "to fix")
    assert ann.find_element(By.NAME, "label").get_attribute("value") == "kept label"
    assert ann.find_element(By.NAME, "tests").get_attribute("value") == "tempest.api.("
    for name in wrong_fields(ann):
        described = ann.find_element(By.NAME, name).get_attribute("aria-describedby").split()
        assert any(ann.find_element(By.ID, one).is_displayed() for one in described), name
    assert set(wrong_fields(ann)) & {"tests", "concurrency"}


def test_what_was_typed_outlives_the_session(site: Site, ann: Any) -> None:
    add_cloud(site)
    fill_run(ann, site, label="typed before")
    site.ledger.sessions.end(ann.get_cookie("refstack_session")["value"])
    click(ann, "Start run")
    shows(ann, "Your session has expired")
    fill(ann, token=site.tokens["ann"])
    ann.find_element(By.CSS_SELECTOR, "main button").click()
    eventually(ann, lambda: ann.find_element(By.NAME, "label").get_attribute("value") == "typed before")
    assert runs(site) == 0


def test_impatient_clicks_start_one_run(site: Site, ann: Any) -> None:
    add_cloud(site, conf_json={"identity": {"password": "pw-1"}}, test_user="interop")
    add_node(site)
    fill_run(ann, site)
    ann.execute_cdp_cmd("Network.enable", {})
    slow = {"offline": False, "latency": 1500, "downloadThroughput": -1, "uploadThroughput": -1}
    ann.execute_cdp_cmd("Network.emulateNetworkConditions", slow)
    ann.execute_script(
        "const form = document.querySelector('form[action=\"/runs/new\"]');"
        "const more = document.createElement('input');"
        "more.type = 'hidden'; more.name = 'anyway'; more.value = 'yes'; form.append(more);"
        "const button = [...form.querySelectorAll('button')].find(one => one.textContent.trim() == 'Start run');"
        "for (let n = 0; n < 3; n++) button.click();"
    )
    until(ann, "#state", "Queued")
    assert runs(site) == 1


def test_a_version_that_no_node_has_is_said_before(site: Site, ann: Any) -> None:
    add_cloud(site, conf_json={"identity": {"password": "pw-1"}}, test_user="interop")
    add_node(site, "47.0.0")
    fill_run(ann, site, version="12.0.0")
    click(ann, "Start run")
    eventually(ann, lambda: "12.0.0" in body(ann) and "47.0.0" in body(ann))
    assert runs(site) == 0


def test_who_may_only_look_sees_no_buttons(site: Site, driver: Any) -> None:
    ids = furnish(site)
    site.tokens["reader"] = site.ledger.tokens.add("reader", ["vendor", "read"], site.users["ann"])[1]
    look.sign_in(driver, site, "reader")
    for path, word in (("/runs", "New run"), ("/clouds", "Add cloud"), (f"/runs/{ids['running']}", "Cancel run")):
        driver.get(site.url + path)
        assert word not in body(driver), path


def test_cancel_asks_and_a_cloud_with_runs_says_why_it_stays(site: Site, ann: Any) -> None:
    ids = furnish(site)
    ann.get(f"{site.url}/runs/{ids['running']}")
    click(ann, "Cancel run")
    eventually(ann, lambda: ann.switch_to.alert).dismiss()
    assert not site.ledger.runs.get(ids["running"]).cancel_asked_at
    # the question says what goes with it; what keeps a run keeps all of them
    ann.get(f"{site.url}/clouds/{ids['cloud']}")
    click(ann, "Delete")
    ann.find_element(By.NAME, "runs").click()
    shows(ann, "Delete its 10 runs and their results, too")
    click(ann, "Delete permanently")
    shows(ann, "has not ended; cancel it first")
    assert runs(site) == 10


def test_a_cloud_goes_with_its_runs_and_alone(site: Site, ann: Any) -> None:
    cloud = add_cloud(site)
    job = begin(site, run_of(site, "ann", cloud, "last"))
    finish(site, job)
    ann.get(f"{site.url}/clouds/{cloud}")
    click(ann, "Delete")
    # the box has to be ticked, with or without JavaScript
    click(ann, "Delete permanently")
    assert runs(site) == 1
    ann.find_element(By.NAME, "runs").click()
    click(ann, "Delete permanently")
    shows(ann, "No clouds yet.")
    assert runs(site) == 0
    ann.get(f"{site.url}/clouds/{add_cloud(site)}")
    confirmed(ann, "Delete")
    shows(ann, "No clouds yet.")


def test_a_cloud_that_does_not_answer_is_entered_once(site: Site, ann: Any) -> None:
    for said in (("Connection problem.", "nowhere.invalid"), ("to fix",)):
        ann.get(f"{site.url}/clouds/new")
        fill(ann, label="Demo", endpoint_v3="https://nowhere.invalid/v3", test_user="interop", password="pw-1")
        click(ann, "Add and check")
        shows(ann, *said)
    assert wrong_fields(ann) == ["label"]
    ann.get(f"{site.url}/runs/new")
    choices = [one.text for one in Select(ann.find_element(By.NAME, "cloud_id")).options]
    assert len([one for one in choices if one.startswith("Demo (")]) == 1


def test_next_in_line_goes_when_the_run_begins(site: Site, ann: Any) -> None:
    add_node(site)
    run = site.ledger.runs.add(NewRun(RunSpec(tempest_version="47.0.0"), owner_id=site.users["ann"]))
    ann.get(f"{site.url}/runs/{run.test_id}")
    shows(ann, "Next in line")
    job = submit(site.ledger, run.test_id)
    site.ledger.attempts.claim(job.proof, Claim(job.claim_id, "node-a", "47.0.0"))
    until(ann, "#state", "Starting")
    eventually(ann, lambda: "Next in line" not in body(ann))


def test_a_paused_queue_is_said_with_its_reason(site: Site, ann: Any) -> None:
    add_node(site)
    run = site.ledger.runs.add(NewRun(RunSpec(tempest_version="47.0.0"), owner_id=site.users["ann"]))
    site.ledger.queue.pause("op", "new disks")
    ann.get(f"{site.url}/runs/{run.test_id}")
    shows(ann, "the operator paused the queue", "new disks")
    assert "Next in line" not in body(ann)


def follow(driver: Any, far: hostile.Site) -> None:
    """Sign in to a server in a process of its own, and open its run."""
    url, (job,) = f"http://127.0.0.1:{far.port}", far.jobs
    driver.get(f"{url}/sign-in")
    fill(driver, token=far.ledger.tokens.add("op", ["operator"])[1])
    driver.find_element(By.CSS_SELECTOR, "main button").click()
    eventually(driver, lambda: "/sign-in" not in driver.current_url)
    driver.get(f"{url}/runs/{job.submission.key.test_id}")
    until(driver, "#state", "Running")


def test_a_server_that_goes_away_is_said(tmp_path: Path, driver: Any) -> None:
    with hostile.site(tmp_path, 1) as far:
        follow(driver, far)
        far.process.kill()
        shows(driver, "The connection to the server is interrupted.")


def test_a_long_label_and_one_from_right_to_left_wreck_nothing(site: Site, ann: Any) -> None:
    for label in ("x" * 180, "תווית מימין לשמאל"):
        site.ledger.runs.add(NewRun(RunSpec(tempest_version="47.0.0"), label=label, owner_id=site.users["ann"]))
    ann.get(f"{site.url}/runs")
    assert ann.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    for head in ("Status", "Created"):
        cell = ann.find_element(By.XPATH, f"//th[normalize-space()='{head}']")
        assert cell.location["x"] + cell.size["width"] <= ann.execute_script("return innerWidth"), head
    assert len(ann.find_elements(By.CSS_SELECTOR, "tbody bdi")) >= 2
    row = ann.find_element(By.XPATH, "//tr[contains(., 'תווית')]")
    assert "#2" in row.text
    cloud = add_cloud(site, label="y" * 150, endpoint_v3=f"https://{'long-' * 30}.example/v3")
    job = begin(site, run_of(site, "ann", cloud, "z" * 190))
    finish(site, job, ["objectstore-object-get"])
    for size in look.SIZES:
        look.shape(ann, size, "light")
        for path in ("/clouds", f"/clouds/{cloud}", f"/runs/{job.submission.key.test_id}", "/runs", "/runs/new"):
            ann.get(site.url + path)
            wide = ann.execute_script("return document.documentElement.scrollWidth")
            assert wide <= look.SIZES[size][0], f"{path} is {wide} wide"


def test_addresses_that_are_not_there_and_deep_links(site: Site, driver: Any) -> None:
    ids = furnish(site)
    driver.get(f"{site.url}/nonsense")
    shows(driver, "Not found")
    driver.get(f"{site.url}/runs/{ids['judged']}?status=failed")
    fill(driver, token=site.tokens["ann"])
    driver.find_element(By.CSS_SELECTOR, "main button").click()
    eventually(driver, lambda: driver.current_url.endswith(f"/runs/{ids['judged']}?status=failed"))
    driver.get(f"{site.url}/sign-in")
    eventually(driver, lambda: driver.current_url.endswith("/runs"))


def test_a_shared_run_has_no_link_to_the_cloud(site: Site, driver: Any) -> None:
    ids = furnish(site)
    look.sign_in(driver, site, "ann")
    driver.get(f"{site.url}/runs/{ids['judged']}")
    click(driver, "Share")
    fill(driver, vendor="bravo hosting")
    driver.find_element(By.CSS_SELECTOR, "button[name=action][value=share]").click()
    eventually(driver, lambda: site.ledger.accounts.shares(ids["judged"]))
    driver.delete_all_cookies()
    look.sign_in(driver, site, "bob")
    driver.get(f"{site.url}/runs/{ids['judged']}")
    shows(driver, "Frankfurt")
    assert not driver.find_elements(By.CSS_SELECTOR, "main a[href^='/clouds/']")
