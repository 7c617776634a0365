"""Cinder of a whole cloud: API, scheduler and one cinder-volume with the stand-in for storage."""

from __future__ import annotations

from typing import Any

from democloud.openstack import ini
from democloud.openstack.runtime import Api, Runtime
from democloud.openstack.shape import Site

NAME = "cinder"
BACKEND = "standin"
QUOTA = "UPDATE cinder.quota_classes SET hard_limit = {limit} WHERE class_name = 'default' AND resource = '{resource}'"
QUOTAS = ("volumes", "snapshots", "backups")


def configure(site: Site, runtime: Runtime) -> None:
    folder = site.folder / NAME
    helper = f"{runtime.software.program('privsep-helper')} --config-file {folder}/cinder.conf"
    sections: ini.Sections = {
        "DEFAULT": _general(site, runtime),
        # in place of sudo
        "cinder_sys_admin": {"helper_command": helper},
        BACKEND: {
            "volume_driver": "democloud.standins.volume.Driver",
            "volume_backend_name": BACKEND,
            "volume_clear": "none",
        },
        "database": {"connection": site.database("cinder")},
        "nova": {**ini.credentials(site, NAME), "interface": "internal"},
        "service_user": {**ini.credentials(site, NAME), "send_service_user_token": True},  # noqa: S105 - a switch
        "coordination": {"backend_url": f"file://{folder}/coordination"},
        **ini.common(site, NAME),
    }
    ini.write(folder / "cinder.conf", sections)


def make_schema(site: Site, runtime: Runtime) -> None:
    runtime.manage("cinder-manage", "--config-file", site.folder / NAME / "cinder.conf", "db", "sync")


def statements(site: Site) -> list[str]:
    """SQL for the quotas: Cinder's database has precedence over its configuration."""
    limit = site.shape.quota
    return [QUOTA.format(limit=limit, resource=resource) for resource in QUOTAS] if limit else []


def start(site: Site, runtime: Runtime) -> None:
    """Start the daemons and serve the API."""
    config = site.folder / NAME / "cinder.conf"
    for name in ("cinder-scheduler", "cinder-volume"):
        runtime.program(name, "--config-file", config)
    arguments = f"--config-file {config}"
    runtime.web(Api(NAME, "cinder.wsgi.api", site.ports["volume"], site.shape.workers, arguments))


def _general(site: Site, runtime: Runtime) -> dict[str, Any]:
    etc = runtime.software.home / "etc" / "cinder"
    folder = site.folder / NAME
    return {
        "transport_url": site.transport,
        "auth_strategy": "keystone",
        "api_paste_config": etc / "api-paste.ini",
        "resource_query_filters_file": etc / "resource_filters.json",
        "state_path": folder,
        "image_conversion_dir": folder / "conversion",
        "host": "volume1",
        "my_ip": "127.0.0.1",
        "enabled_backends": BACKEND,
        "default_volume_type": BACKEND,
        "glance_api_servers": site.inner("image"),
        "enable_force_upload": True,
    }
