"""The prepared database: all schemas, cells, roles and accounts, made once for each release and then copied.

It takes about a minute to make and a second to copy.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from democloud import keystone, memcached
from democloud.api import Account, Session
from democloud.openstack import catalogue, shape
from democloud.openstack.parts import compute, database, identity, image, network, placement, volume
from democloud.openstack.runtime import Runtime
from democloud.openstack.shape import Shape, Site
from democloud.services import Services
from refstack_worker import process

VERSION = 1
"""Changes with what a template contains."""

NEW_HASH = (
    "UPDATE keystone.password SET password_hash = '{hash}' "
    "WHERE local_user_id IN (SELECT id FROM keystone.local_user WHERE name IN ('{names}'))"
)

HASH = """
import bcrypt, json, sys
print(json.dumps([bcrypt.hashpw(each.encode(), bcrypt.gensalt(4)).decode() for each in json.load(sys.stdin)]))
"""
"""Hashes passwords as Keystone is configured to; bcrypt is part of the cloud's software alone."""

PARTS = (identity, image, placement, compute, network, volume)


def prepared(release: str, runtime: Runtime) -> Path:
    """Return the template in the cache, made on the first call."""
    ready = runtime.cache / f"database-{release}-{VERSION}-{runtime.software.home.name}"
    with open(runtime.cache / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.is_dir():
            runtime.say("preparing the databases (about a minute, only this once)")
            with tempfile.TemporaryDirectory(prefix="database-", dir=runtime.cache) as scratch:
                making = Path(scratch) / "template"
                making.mkdir(mode=0o700)
                _make(shape.draw(making, Shape(release=release, workers=1)), runtime)
                making.rename(ready)
    return ready


def copy(template: Path, site: Site) -> None:
    """Lay the databases and the keys below a cloud's folder."""
    database.copy(template, site.folder)
    identity.copy_keys(template, site.folder)


def passwords(site: Site, runtime: Runtime) -> list[str]:
    """SQL that gives the administrator and the services this cloud's passwords, not the template's."""
    admin, service = _hashes([site.passwords["admin"], site.passwords["service"]], runtime)
    services = "', '".join(catalogue.USERS)
    return [NEW_HASH.format(hash=admin, names="admin"), NEW_HASH.format(hash=service, names=services)]


def _hashes(plain: list[str], runtime: Runtime) -> list[str]:
    words: list[str | Path] = [runtime.software.python, "-c", HASH]
    done = process.run(words, process.Options(input=json.dumps(plain), timeout=60))
    return [str(each) for each in json.loads(done.stdout)]


def _make(site: Site, runtime: Runtime) -> None:
    services = Services(site.folder)
    making = replace(runtime, services=services)
    try:
        database.create(site.folder)
        for part in PARTS:
            part.configure(site, making)
        database.start(site, making, [])
        # Neutron's takes as long as all the others together
        with ThreadPoolExecutor() as pool:
            neutron = pool.submit(network.make_schema, site, making)
            others = pool.submit(_make_others, site, making)
            _make_accounts(site, making)
            others.result()
            neutron.result()
        database.stop(making)
    finally:
        services.stop()
    _tidy(site.folder)


def _make_others(site: Site, runtime: Runtime) -> None:
    for part in (image, placement, compute, volume):
        part.make_schema(site, runtime)


def _make_accounts(site: Site, runtime: Runtime) -> None:
    """Let Keystone itself make the roles, the services' accounts and the complete catalogue."""
    identity.make_schema(site, runtime)
    memcached.start(site.ports["memcached"], runtime.services)
    identity.start(site, runtime)
    runtime.await_answers([(identity.NAME, site.inner_auth_url)])
    admin = Session(Account(site.inner_auth_url, "admin", site.passwords["admin"], "admin"))
    keystone.populate(admin, catalogue.NAMES, dict.fromkeys(catalogue.USERS, secrets.token_urlsafe(18)))


def _tidy(folder: Path) -> None:
    """Leave only what :func:`copy` takes."""
    for path in folder.iterdir():
        if path.name not in ("database", identity.NAME):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
