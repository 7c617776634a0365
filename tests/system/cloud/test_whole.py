"""The whole cloud of ``installer/democloud``: it comes up, passes tests of each of its services, and leaves nothing."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.census import added, census
from tests.system.execute_test.conftest import cache_folder, tempest_home
from tests.system.execute_test.test_runs import results

from democloud import ports  # isort: skip - found by what is imported above
from democloud.cloud import Options  # isort: skip
from democloud.openstack import ini  # isort: skip
from democloud.openstack.parts import floating  # isort: skip
from democloud.openstack.shape import Shape  # isort: skip
from democloud.openstack.whole import WholeCloud  # isort: skip

__all__ = ["tempest_home"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the whole cloud needs root, for network namespaces")

TESTS = (
    "identity.v3.test_tokens.TokensV3Test.test_create_token",
    "object_storage.test_object_services.ObjectTest.test_create_object",
    "image.v2.test_images.BasicOperationsImagesTest.test_register_upload_get_image_file",
    "network.test_networks.NetworksTest.test_create_update_delete_network_subnet",
    "network.test_floating_ips.FloatingIPTestJSON.test_create_list_show_update_delete_floating_ip",
    "volume.test_volumes_get.VolumesGetTest.test_volume_create_get_update_delete_from_image",
    "compute.images.test_images_oneserver.ImagesOneServerTestJSON.test_create_delete_image",
    "compute.servers.test_create_server.ServersTestJSON.test_host_name_is_same_as_server_name",
    "compute.servers.test_create_server.ServersTestJSON.test_verify_created_server_vcpus",
    "compute.servers.test_server_actions.ServerActionsTestJSON.test_resize_server_confirm",
    "volume.test_volumes_actions.VolumesActionsTest.test_attach_detach_volume_to_instance",
)
"""At least one of each service, and of each stand-in: snapshot, resize, SSH, ports, floating addresses, volumes."""

LIMIT_SECONDS = 900


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeCloud]:
    with WholeCloud(
        tmp_path_factory.mktemp("whole") / "cloud", Options(cache_folder(), say=print), Shape(users=1)
    ) as up:
        yield up


def test_a_selection_of_each_service_passes_and_leaves_nothing(
    cloud: WholeCloud, tempest_home: Path, tmp_path: Path
) -> None:
    before = census(cloud)
    ran = run_by_hand(cloud, tempest_home, tmp_path)
    assert {name: ran.get(f"tempest.api.{name}") for name in TESTS} == dict.fromkeys(TESTS, "success")
    # Neutron keeps one for each project, also when the project goes
    left = {kind: names for kind, names in added(before, census(cloud)).items() if names and kind != "security_groups"}
    assert left == {}


def test_an_ordinary_user_finds_project_and_network(cloud: WholeCloud) -> None:
    user = cloud.contents.users[0]
    session = cloud.session(user.name, user.password)
    networks = session.ask("GET", "network", "/v2.0/networks")["networks"]
    assert {each["name"] for each in networks} == {user.network, "public"}
    rights = subprocess.run(["stat", "-c", "%a", "openrc", "clouds.yaml", "accounts.yaml", "cloud.json"],
                            cwd=cloud.folder, capture_output=True, text=True, check=True)  # fmt: skip
    assert set(rights.stdout.split()) == {"600"}


def test_nothing_stays_when_it_ends(cloud: WholeCloud) -> None:
    namespace, listening = floating.name(cloud.site), set(cloud.site.ports.values())
    assert traces(cloud.folder, namespace, listening)
    cloud.stop()
    assert traces(cloud.folder, namespace, listening) == []


def run_by_hand(cloud: WholeCloud, tempest_home: Path, folder: Path) -> dict[str, str]:
    conf = {**cloud.tempest_conf(), "oslo_concurrency": {"lock_path": str(folder)}}
    (folder / "tempest.conf").write_text(ini.text(conf))
    (folder / "list").write_text("".join(rf"^tempest\.api\.{re.escape(name)}\b" + "\n" for name in TESTS))
    done = subprocess.run(
        [tempest_home / "bin" / "tempest", "run", "--config-file", "tempest.conf", "--include-list", "list",
         "--concurrency", "2", "--subunit"],
        cwd=folder, capture_output=True, env={"PATH": "/usr/bin:/bin", "HOME": str(folder)}, timeout=LIMIT_SECONDS,
    )  # fmt: skip
    # without what Tempest writes behind the name, such as [id-…,smoke]
    return {name.partition("[")[0]: status for name, status in results(done.stdout).items()}


def traces(folder: Path, namespace: str, listening: set[int]) -> list[str]:
    """What shows that the cloud runs: processes, ports, mounts, addresses, routes, namespaces."""
    shown = [
        *_lines("ip", "-o", "address"),
        *_lines("ip", "route"),
        *_lines("ip", "netns"),
        *_lines("cat", "/proc/mounts"),
    ]
    found = [line for line in shown if namespace in line or str(folder) in line]
    found += [f"port {port}" for port in listening if ports.listening(port)]
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command, environ = (path / "cmdline").read_bytes(), (path / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in command + environ and int(path.name) != os.getpid():
            found.append(f"process {path.name}: {command.decode(errors='replace')}")
    return found


def _lines(*words: str) -> list[str]:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
