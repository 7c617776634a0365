"""Glance of a whole cloud: images are files below the cloud's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from democloud.openstack import ini
from democloud.openstack.runtime import Api, Runtime
from democloud.openstack.shape import Site

NAME = "glance"
PASTE = "glance-api-paste.ini"
"""Glance looks for it beside its configuration, up to 2024.2 whatever that says."""
FOLDERS = ("images", "staging", "tasks", "cache")


def configure(site: Site, runtime: Runtime) -> None:
    folder = site.folder / NAME
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    shutil.copy(runtime.software.home / "etc" / "glance" / PASTE, folder)
    stores = {"file": "images", "os_glance_staging_store": "staging", "os_glance_tasks_store": "tasks"}
    sections: ini.Sections = {
        "DEFAULT": {
            "enabled_backends": "file:file",
            "enabled_import_methods": "[glance-direct,web-download,copy-image]",
            "worker_self_reference_url": site.inner("image"),
            "node_staging_uri": f"file://{folder}/staging",
            "image_cache_dir": folder / "cache",
        },
        "database": {"connection": site.database("glance")},
        "glance_store": {"default_backend": "file"},
        "paste_deploy": {
            "flavor": "keystone",
            "config_file": folder / PASTE,
        },
        # Tempest uploads random bytes and calls them images
        "image_format": {"require_image_format_match": False},
        **{store: {"filesystem_store_datadir": folder / name} for store, name in stores.items()},
        **ini.common(site, NAME),
    }
    ini.write(folder / "glance-api.conf", sections)


def make_schema(site: Site, runtime: Runtime) -> None:
    runtime.manage("glance-manage", "--config-file", site.folder / NAME / "glance-api.conf", "db_sync")


def start(site: Site, runtime: Runtime) -> None:
    env: dict[str, str | Path] = {"OS_GLANCE_CONFIG_DIR": site.folder / NAME}
    runtime.web(Api(NAME, "glance.wsgi.api", site.ports["image"], site.shape.workers), **env)
