"""The files for containers fit together: no image builder and no compose runs here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

FOLDER = Path(__file__).parents[3] / "packaging" / "container"
DOCS = Path(__file__).parents[3] / "docs" / "containers.md"
CONTAINERFILE = (FOLDER / "Containerfile").read_text()
STAGES = re.findall(r"^FROM \S+ AS (\S+)$", CONTAINERFILE, re.MULTILINE)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return read


def mounts(service: dict[str, Any]) -> list[str]:
    return [text.partition(":")[0] for text in service.get("volumes", ())]


def test_each_service_has_an_image_that_is_built_or_has_a_version(compose: dict[str, Any]) -> None:
    ours = {f"refstack-{stage}" for stage in STAGES}
    assert {service["image"] for service in compose["services"].values()} & ours == ours
    for service in compose["services"].values():
        assert service["image"] in ours or re.search(r":\d", service["image"])


def test_what_services_name_is_there(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        assert {name for name in mounts(service) if not name.startswith(".")} <= set(compose["volumes"])
    used = {name for service in services.values() for name in mounts(service)}
    assert set(compose["volumes"]) <= used


def test_the_page_says_how_to_make_each_file(compose: dict[str, Any]) -> None:
    page = DOCS.read_text()
    files = {name[2:] for service in compose["services"].values() for name in mounts(service) if name.startswith("./")}
    files |= {secret["file"][2:] for secret in compose["secrets"].values()}
    assert files == {"refstack.cfg", "worker.toml", "fleet.key", "server.pub", "database.password"}
    for name in files:
        assert f"`{name}`" in page or f"> {name}" in page, name
    for word in re.findall(r"podman build --target (\w+)", page):
        assert word in STAGES


def test_only_the_api_is_reached_from_outside_and_only_from_this_machine(compose: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert ports == {"api": ["127.0.0.1:8000:8000"]}


def test_no_image_runs_as_root() -> None:
    for stage in CONTAINERFILE.split("\nFROM ")[1:]:
        assert re.search(r"^USER refstack-(queue|worker)$", stage, re.MULTILINE)
