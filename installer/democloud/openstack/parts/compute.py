"""Nova of a whole cloud: API, conductor, scheduler and one nova-compute with the stand-in for a hypervisor."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from democloud.openstack import ini
from democloud.openstack.runtime import Api, Runtime
from democloud.openstack.shape import Site

NAME = "nova"
HOST = "compute1"
SCHEMA = (
    ("api_db", "sync"),
    ("cell_v2", "map_cell0"),
    ("db", "sync"),
    ("cell_v2", "create_cell", "--name", "cell1"),
)
"""Commands of nova-manage, in the order that Nova wants."""
QUOTAS = ("instances", "cores", "server_groups")

CELL = (
    "UPDATE nova_api.cell_mappings SET database_connection = '{database}', transport_url = '{messages}' "
    "WHERE name = '{name}'"
)
HOST_MAPPING = (
    "INSERT INTO nova_api.host_mappings (created_at, cell_id, host) "
    "SELECT UTC_TIMESTAMP(), id, '{host}' FROM nova_api.cell_mappings WHERE name = '{cell}'"
)
"""What 'nova-manage cell_v2 discover_hosts' does in some seconds."""


def configure(site: Site, runtime: Runtime) -> None:
    """Write ``nova.conf``, and beside it ``api-paste.ini``, where the API looks for it."""
    folder = site.folder / NAME
    folder.mkdir()
    shutil.copy(runtime.software.home / "etc" / "nova" / "api-paste.ini", folder)
    sections: ini.Sections = {
        "DEFAULT": _general(site),
        "wsgi": {"api_paste_config": folder / "api-paste.ini"},
        "api_database": {"connection": site.database("nova_api")},
        "database": {"connection": site.database("nova")},
        "conductor": {"workers": 1},
        "scheduler": {"workers": 1},
        "cache": ini.cache(site),
        "vnc": {"enabled": False},
        "quota": dict.fromkeys(QUOTAS, site.shape.quota) if site.shape.quota else {},
        **_others(site),
        **ini.common(site, NAME),
    }
    ini.write(folder / "nova.conf", sections)


def make_schema(site: Site, runtime: Runtime) -> None:
    """Make the tables and the cells; :func:`statements` adapts the cells to each cloud."""
    for words in SCHEMA:
        runtime.manage("nova-manage", "--config-file", site.folder / NAME / "nova.conf", *words)


def statements(site: Site) -> list[str]:
    """SQL that adapts the prepared cells to this cloud, and that makes its only host known."""
    zero, one = site.database("nova_cell0"), site.database("nova")
    return [
        CELL.format(name="cell0", database=zero, messages="none:///"),
        CELL.format(name="cell1", database=one, messages=site.transport),
        HOST_MAPPING.format(host=HOST, cell="cell1"),
    ]


def start(site: Site, runtime: Runtime) -> None:
    """Start the daemons and serve the API."""
    config = ("--config-file", site.folder / NAME / "nova.conf")
    for name in ("nova-conductor", "nova-scheduler"):
        runtime.program(name, *config)
    compute: list[str | Path] = [runtime.software.python, "-m", "democloud.standins.nova_compute", *config]
    runtime.services.start("nova-compute", compute, runtime.environment())
    env: dict[str, str | Path] = {"OS_NOVA_CONFIG_DIR": site.folder / NAME}
    runtime.web(Api(NAME, "nova.wsgi.osapi_compute", site.ports["compute"], site.shape.workers), **env)


def _general(site: Site) -> dict[str, Any]:
    return {
        "transport_url": site.transport,
        "compute_driver": "hypervisor.Driver",
        "host": HOST,
        "my_ip": "127.0.0.1",
        "state_path": site.folder / NAME,
        "allow_resize_to_same_host": True,
        "enabled_apis": "osapi_compute",
        # a busy machine must not make the only host look dead
        "service_down_time": 120,
        "running_deleted_instance_action": "reap",
    }


def _others(site: Site) -> dict[str, dict[str, Any]]:
    """How Nova reaches the other services."""
    login = ini.credentials(site, NAME)
    inner = {**login, "valid_interfaces": "internal"}
    return {
        "placement": inner,
        "glance": {"region_name": login["region_name"], "valid_interfaces": "internal"},
        "neutron": {**inner, "service_metadata_proxy": False},
        "cinder": {**login, "catalog_info": f"{site.shape.catalog_volume[0]}::internalURL"},
        "service_user": {**login, "send_service_user_token": True},  # noqa: S105 - a switch
        "keystone": inner,
    }
