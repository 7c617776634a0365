"""A vendor goes through it all with a browser: a real Keystone and Swift, a real worker with a real Tempest.

Enter the cloud, trigger by guideline and program, watch, read the verdict, download, switch on in the cloud what was
missing, run what failed again, cancel a run; and what another vendor sees of it all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.system.execute_test.conftest import Cloud, Options, cache_folder
from tests.system.standalone import TEMPEST, Standalone, standalone
from tests.system.web.test_browser import STALE, body, click, driver, fill, shows
from tests.tempests import locked

__all__ = ["driver"]

PATIENCE = 240
"""Seconds for a run of a few tests on a busy machine."""
PROGRAM = "Example Powered Storage"
REQUIRED = {
    "objectstore-container-create": {
        "tempest.api.object_storage.test_container_services.ContainerTest.test_create_container": (
            "92139d73-7819-4db1-85f8-3f2f22a8d91f"
        )
    },
    "objectstore-slo-create": {
        "tempest.api.object_storage.test_object_slo.ObjectSloTest.test_upload_manifest": (
            "2c3f24a6-36e8-4711-9aa2-800ee1fc7b5b"
        )
    },
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud whose Swift lacks what one of the required tests needs."""
    with Cloud(tmp_path_factory.mktemp("cloud"), Options(cache_folder(), without=("slo",))) as made:
        yield made


@pytest.fixture(scope="module")
def queue(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    base = tmp_path_factory.mktemp("queue")
    words = [sys.executable, "-m", "refstack_worker.cli.queue", "standalone", "--folder", str(base / "queue")]
    words += ["--locks", str(locked(TEMPEST)), "--prepare"]
    subprocess.run(words, check=True, capture_output=True)
    # what is the same for every cloud is the operator's to say
    known = cloud.tempest_conf()
    usual = {name: known[name] for name in ("object-storage", "object-storage-feature-enabled")}
    usual["auth"] = {"use_dynamic_credentials": True, "admin_domain_name": known["auth"]["admin_domain_name"]}
    with open(base / "queue" / "refstack.cfg", "a", encoding="utf-8") as settings:
        settings.write(f"TEMPEST_CONFIG = {usual!r}\n")
    with standalone(base) as made:
        yield made


def sign_in(driver: Any, queue: Standalone, token: Path) -> None:
    driver.get(f"{queue.url}/sign-in")
    driver.find_element(By.NAME, "token").send_keys(token.read_text())
    driver.find_element(By.CSS_SELECTOR, "main button").click()
    shows(driver, "Runs")


def until_state(driver: Any, queue: Standalone, *states: str) -> None:
    """Wait until the page, which nobody loads anew, shows one of these states."""

    def shown(_driver: Any) -> bool:
        return driver.find_element(By.ID, "state").text in states

    try:
        WebDriverWait(driver, PATIENCE, ignored_exceptions=STALE).until(shown)
    except Exception as error:
        raise AssertionError(f"{body(driver)}\n{queue.logs()}") from error


def enter_cloud(driver: Any, cloud: Cloud) -> None:
    click(driver, "Clouds")
    click(driver, "Enter a cloud")
    click(driver, "Second user and admin")
    admin = {"admin_user": cloud.admin_user, "admin_password": cloud.admin_password}
    fill(driver, label="Acme", endpoint_v3=cloud.auth_url, region=cloud.region, **admin)
    fill(driver, test_user=cloud.admin_user, password=cloud.admin_password, project_name=cloud.admin_project)
    fill(driver, admin_project_name=cloud.admin_project)
    driver.find_element(By.NAME, "keep").click()
    click(driver, "Enter and check")
    shows(driver, "object-store", "kept, sealed")
    assert "Something is not right." not in body(driver)
    assert cloud.admin_password not in driver.page_source


def guideline() -> str:
    return json.dumps(
        {
            "metadata": {"id": "2026.06", "schema": "2.0"},
            "platforms": {PROGRAM: {"description": "Object storage.", "components": [{"name": "storage"}]}},
            "components": {"storage": {"capabilities": {"required": list(REQUIRED), "advisory": []}}},
            "capabilities": {
                name: {
                    "description": name,
                    "tests": {test: {"idempotent_id": f"id-{known}"} for test, known in tests.items()},
                }
                for name, tests in REQUIRED.items()
            },
        }
    )


def test_a_vendor_certifies_a_real_cloud(driver: Any, queue: Standalone, cloud: Cloud, tmp_path: Path) -> None:
    ann, bob = queue.user("ann", "Acme Cloud"), queue.user("bob", "Bravo Hosting")
    file = tmp_path / "2026.06.json"
    file.write_text(guideline())
    sign_in(driver, queue, ann)
    click(driver, "Guidelines")
    driver.find_element(By.NAME, "file").send_keys(str(file))
    click(driver, "Add")
    shows(driver, PROGRAM)
    enter_cloud(driver, cloud)

    click(driver, "New run")
    Select(driver.find_element(By.NAME, "program")).select_by_visible_text(f"2026.06: {PROGRAM} (2 tests)")
    fill(driver, version=TEMPEST, label="First")
    click(driver, "Start the run")
    until_state(driver, queue, "running", "finished, with failures")
    until_state(driver, queue, "finished, with failures")
    first = driver.current_url
    verdict = driver.find_element(By.CLASS_NAME, "verdict").text
    assert f"{PROGRAM}: not passed" in verdict and "1 of 2" in verdict
    assert "objectstore-slo-create" in verdict and "ObjectSloTest.test_upload_manifest" in verdict
    assert "test_create_container" not in verdict
    download(driver, tmp_path / "downloads", cloud)

    cloud.stop_swift()
    cloud.start_swift()
    click(driver, "Run again")
    driver.find_element(By.CSS_SELECTOR, "input[value=failed]").click()
    driver.find_element(By.CSS_SELECTOR, "form.inside button").click()
    WebDriverWait(driver, PATIENCE).until(lambda _driver: driver.current_url != first)
    until_state(driver, queue, "finished")
    assert "ObjectSloTest.test_upload_manifest" in body(driver) and "test_create_container" not in body(driver)

    cancel_one(driver, queue)
    click(driver, "Sign out")
    sign_in(driver, queue, bob)
    shows(driver, "No runs yet.")
    for path in (first, f"{first}/file/subunit", f"{queue.url}/clouds/1"):
        driver.get(path)
        assert "Acme" not in driver.page_source and "tempest.api" not in driver.page_source, path
        assert "Not found" in body(driver), path


def cancel_one(driver: Any, queue: Standalone) -> None:
    driver.get(f"{queue.url}/runs/new")
    cloud = Select(driver.find_element(By.NAME, "cloud_id"))
    cloud.select_by_index(1)
    driver.find_element(By.CSS_SELECTOR, "input[value=regexes]").click()
    fill(driver, version=TEMPEST, label="Too long", tests="tempest.api.object_storage")
    click(driver, "Start the run")
    until_state(driver, queue, "running")
    click(driver, "Cancel the run")
    until_state(driver, queue, "cancelled")


def download(driver: Any, folder: Path, cloud: Cloud) -> None:
    test_id = int(driver.current_url.rpartition("/")[2])
    kinds = {"subunit stream": "subunit", "JUnit XML": "xml", "HTML, one file": "html", "CSV": "csv", "JSON": "json"}
    for link, suffix in kinds.items():
        if not driver.find_element(By.CSS_SELECTOR, "details.menu").get_attribute("open"):
            click(driver, "Download")
        click(driver, link)
        file = folder / f"run-{test_id}.{suffix}"
        WebDriverWait(driver, 60).until(lambda _driver, file=file: file.exists() and file.stat().st_size > 0)
        assert b"test_upload_manifest" in file.read_bytes()
        assert cloud.admin_password.encode() not in file.read_bytes()
    driver.find_element(By.TAG_NAME, "h1").click()
