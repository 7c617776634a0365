"""A real Chromium goes through what vendors once stumbled over in forms: fields that were missing, lost or misnamed."""

from __future__ import annotations

import importlib.util
import json
import shutil
import time
from typing import Any

import pytest

if importlib.util.find_spec("selenium") is None or not shutil.which("chromedriver"):
    pytest.skip("needs selenium and chromium-driver", allow_module_level=True)

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from refstack_worker.server.domain.clouds import CloudCheck
from refstack_worker.server.domain.guidelines import StoredGuideline
from tests.system.web import look
from tests.system.web import test_findings as findings
from tests.system.web.site import Site, furnish, uuid
from tests.system.web.test_browser import body, click, eventually, fill, shows
from tests.system.web.test_findings import add_cloud, add_node, fill_run, open_details, runs, wrong_fields

site, driver, ann = findings.site, findings.driver, findings.ann
PLATFORM = "Example Powered Platform"


def summary(driver: Any) -> str:
    """Return what stands above a form that has something wrong."""
    return str(driver.find_element(By.CSS_SELECTOR, "main .alert").text)


def test_all_that_a_cloud_has_is_entered_shown_and_forgotten(site: Site, ann: Any) -> None:
    ann.get(f"{site.url}/clouds/new")
    open_details(ann)
    users = {"test_user": "one", "project_name": "p1", "domain_name": "d1", "password": "pw-first-1"}
    users |= {"alt_user": "two", "alt_project_name": "p2", "alt_domain_name": "d2", "alt_password": "pw-second-2"}
    users |= {"admin_user": "root", "admin_project_name": "p3", "admin_domain_name": "d3", "admin_password": "pw-3rd"}
    fill(ann, label="All", endpoint_v3=f"{site.url}/v3", options="compute.image_ref = 1234", **users)
    ann.find_element(By.CSS_SELECTOR, "input[name=keep][value=yes]").click()
    click(ann, "Add and check")
    given = {name: value for name, value in users.items() if "password" not in name}
    shows(ann, "Stored (encrypted)", "compute.image_ref", *given.values())
    cloud = int(ann.current_url.rpartition("/")[2])
    click(ann, "Edit")
    open_details(ann)
    shown = {name: ann.find_element(By.NAME, name).get_attribute("value") for name in given}
    assert shown == given
    ann.find_element(By.CSS_SELECTOR, "input[name=keep][value=forget]").click()
    click(ann, "Save and check")
    shows(ann, "Entered for each run", *given.values())
    assert not site.ledger.clouds.saved_passwords(cloud)


def test_a_second_sign_in_in_another_tab_loses_nothing(site: Site, ann: Any) -> None:
    add_cloud(site, conf_json={"identity": {"password": "pw-1"}})
    fill_run(ann, site, label="typed in the first tab")
    first = ann.current_window_handle
    ann.switch_to.new_window("tab")
    ann.get(f"{site.url}/runs")
    click(ann, "Sign out")
    look.sign_in(ann, site, "ann")
    ann.switch_to.window(first)
    click(ann, "Start run")
    shows(ann, "You signed in again in another tab. Your entries are kept: submit again.")
    assert ann.find_element(By.NAME, "label").get_attribute("value") == "typed in the first tab"
    click(ann, "Start run")
    shows(ann, "No available node runs Tempest 47.0.0")


def test_an_error_has_the_name_of_its_field_and_the_focus(site: Site, ann: Any) -> None:
    add_cloud(site, conf_json={"identity": {"password": "pw-1"}}, test_user="interop")
    fill_run(ann, site)
    open_details(ann)
    fill(ann, concurrency="many", timeout="long")
    click(ann, "Start run")
    shows(ann, "2 problems to fix")
    assert ann.title.startswith("Error:")
    assert "Test processes:" in summary(ann) and "Time limit:" in summary(ann)
    assert ann.execute_script("return document.activeElement.className") == "alert"
    assert sorted(wrong_fields(ann)) == ["concurrency", "timeout"]
    # they were folded away when the page came; its own rule opens them again
    assert ann.find_element(By.NAME, "concurrency").is_displayed()
    ann.find_element(By.CSS_SELECTOR, "main .alert a").click()
    assert ann.find_element(By.ID, "f-concurrency").is_displayed()


def test_a_missing_password_is_asked_for_where_it_can_be_typed(site: Site, ann: Any) -> None:
    add_cloud(site, test_user="interop")
    add_node(site)
    fill_run(ann, site)
    click(ann, "Start run")
    shows(ann, 'No password was given for test user "interop".')
    assert wrong_fields(ann) == ["password"] and ann.find_element(By.NAME, "password").is_displayed()
    assert runs(site) == 0


def test_the_operators_own_choice_makes_a_token_and_an_error_keeps_the_name(site: Site, driver: Any) -> None:
    look.sign_in(driver, site, "operator")
    driver.get(f"{site.url}/tokens")
    fill(driver, name="for the vendor")
    Select(driver.find_element(By.NAME, "scope")).select_by_value("vendor")
    click(driver, "Create")
    shows(driver, "Choose an owner for this token.")
    assert driver.find_element(By.NAME, "name").get_attribute("value") == "for the vendor"
    assert wrong_fields(driver) == ["user_id"]
    driver.get(f"{site.url}/tokens")
    fill(driver, name="as it came")
    click(driver, "Create")
    shows(driver, "Token created.")


def test_a_reload_makes_no_second_token(site: Site, ann: Any) -> None:
    ann.get(f"{site.url}/tokens")
    fill(ann, name="once")
    click(ann, "Create")
    shows(ann, "Token created.")
    ann.execute_script("location.reload()")
    eventually(ann, lambda: "already submitted" in body(ann))
    assert len([one for one in site.ledger.tokens.all() if one.name == "once"]) == 1


def test_revoking_says_what_ends(site: Site, ann: Any) -> None:
    ann.get(f"{site.url}/tokens")
    ann.find_element(By.XPATH, "//button[@aria-label='Revoke ann of Acme Cloud']").click()
    asked = eventually(ann, lambda: ann.switch_to.alert)
    assert "Whatever uses it stops working at once, and you will be signed out." in asked.text
    asked.dismiss()
    ann.get(f"{site.url}/tokens")
    assert site.ledger.tokens.find(site.tokens["ann"]) is not None


def test_a_program_that_the_catalogue_cannot_serve_is_said_before(site: Site, ann: Any) -> None:
    site.ledger.guidelines.add(platform(), StoredGuideline(0, "", "", added_by="operator"))
    cloud = add_cloud(site, conf_json={"identity": {"password": "pw-1"}}, test_user="interop")
    said = "Identity API v3; services: identity, object-store"
    site.ledger.clouds.note_check(cloud, CloudCheck(True, said, time.time()))
    add_node(site)
    ann.get(f"{site.url}/runs/new?cloud={cloud}")
    Select(ann.find_element(By.NAME, "program")).select_by_visible_text(f"2026.06: {PLATFORM} (2 tests)")
    fill(ann, version="47.0.0")
    click(ann, "Start run")
    shows(ann, f"{PLATFORM} tests compute, volumes, but the cloud's catalogue has only: identity, object-store.")
    assert runs(site) == 0


def platform() -> str:
    """Return a guideline whose program needs what the cloud does not have."""
    tests = {"compute-servers-create": "compute.servers.test_servers.ServersTestJSON.test_create"}
    tests["volumes-v3-list"] = "volume.test_volumes_list.VolumesListTestJSON.test_volume_list"
    capabilities = {
        name: {"description": name, "tests": {f"tempest.api.{test}": {"idempotent_id": f"id-{known}"}}}
        for (name, test), known in zip(tests.items(), (uuid(1), uuid(2)))
    }
    return json.dumps(
        {
            "metadata": {"id": "2026.06", "schema": "2.0"},
            "platforms": {PLATFORM: {"description": "All.", "components": [{"name": "all"}]}},
            "components": {"all": {"capabilities": {"required": list(tests), "advisory": []}}},
            "capabilities": capabilities,
        }
    )


def test_who_may_only_look_is_shown_no_form_that_would_be_refused(site: Site, driver: Any) -> None:
    ids = furnish(site)
    site.tokens["reader"] = site.ledger.tokens.add("reader", ["vendor", "read"], site.users["ann"])[1]
    look.sign_in(driver, site, "reader")
    for path in ("/runs/new", "/clouds/new", f"/clouds/{ids['cloud']}/change"):
        driver.get(site.url + path)
        shows(driver, "You're signed in with a read-only token.")
    for name, path in look.pages(ids).items():
        driver.get(site.url + path)
        driver.find_element(By.TAG_NAME, "h1")
        # a selector that finds nothing would wait for as long as a page may take
        assert not driver.execute_script("return document.querySelector('main form[method=post]')"), name
