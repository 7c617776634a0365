"""Keystone of a whole cloud: on MariaDB, with several processes."""

from __future__ import annotations

import shutil
from pathlib import Path

from democloud.api import REGION
from democloud.openstack import ini
from democloud.openstack.runtime import Api, Runtime
from democloud.openstack.shape import Site

NAME = "keystone"
KEYS = ("fernet-keys", "credential-keys")


def configure(site: Site, runtime: Runtime) -> None:
    folder = site.folder / NAME
    sections: ini.Sections = {
        "database": {"connection": site.database("keystone")},
        "token": {"provider": "fernet"},
        "fernet_tokens": {"key_repository": folder / KEYS[0]},
        "fernet_receipts": {"key_repository": folder / KEYS[0]},
        "credential": {"key_repository": folder / KEYS[1]},
        "cache": ini.cache(site),
        # Tempest makes hundreds of users: hash as fast as allowed
        "identity": {"password_hash_algorithm": "bcrypt", "password_hash_rounds": 4},  # noqa: S105 - an algorithm
        "oslo_concurrency": {"lock_path": site.folder / "locks"},
        "oslo_middleware": {"enable_proxy_headers_parsing": site.shape.tls},
    }
    ini.write(folder / "keystone.conf", sections)


def make_schema(site: Site, runtime: Runtime) -> None:
    """Make tables, keys and the first administrator."""
    folder = site.folder / NAME
    for keys in KEYS:
        (folder / keys).mkdir(mode=0o700)
    _manage(site, runtime, "db_sync")
    for command in ("fernet_setup", "credential_setup"):
        _manage(site, runtime, command, "--keystone-user", "root", "--keystone-group", "root")
    _manage(site, runtime, "bootstrap", "--bootstrap-region-id", REGION)


def copy_keys(template: Path, folder: Path) -> None:
    """Take the keys that the template's database was written with."""
    (folder / NAME).mkdir(exist_ok=True)
    for keys in KEYS:
        shutil.copytree(template / NAME / keys, folder / NAME / keys)


def start(site: Site, runtime: Runtime) -> None:
    env: dict[str, str | Path] = {"OS_KEYSTONE_CONFIG_FILES": site.folder / NAME / "keystone.conf"}
    runtime.web(Api(NAME, "keystone.wsgi.api", site.ports["identity"], site.shape.workers), **env)


def _manage(site: Site, runtime: Runtime, *words: str) -> None:
    config = site.folder / NAME / "keystone.conf"
    env: dict[str, str | Path] = {"OS_BOOTSTRAP_PASSWORD": site.passwords["admin"]}
    runtime.manage("keystone-manage", "--config-file", config, *words, **env)
