"""Placement, without which Nova's scheduler finds no host."""

from __future__ import annotations

from pathlib import Path

from democloud.openstack import ini
from democloud.openstack.runtime import Api, Runtime
from democloud.openstack.shape import Site

NAME = "placement"


def configure(site: Site, runtime: Runtime) -> None:
    sections: ini.Sections = {
        "placement_database": {"connection": site.database("placement")},
        "api": {"auth_strategy": "keystone"},
        **ini.common(site, NAME),
    }
    ini.write(site.folder / NAME / "placement.conf", sections)


def make_schema(site: Site, runtime: Runtime) -> None:
    config = site.folder / NAME
    env: dict[str, str | Path] = {"OS_PLACEMENT_CONFIG_DIR": config}
    runtime.manage("placement-manage", "--config-file", config / "placement.conf", "db", "sync", **env)


def start(site: Site, runtime: Runtime) -> None:
    env: dict[str, str | Path] = {"OS_PLACEMENT_CONFIG_DIR": site.folder / NAME}
    runtime.web(Api(NAME, "placement.wsgi.api", site.ports["placement"], site.shape.workers), **env)
