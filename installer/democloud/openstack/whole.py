"""A whole OpenStack on one machine: up to seven real services on free loopback ports, below one folder.

Used like the small cloud of :mod:`democloud.cloud`; its files ``openrc``, ``clouds.yaml`` and ``accounts.yaml`` are
ready for other programs.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from democloud import software
from democloud.api import REGION, Account, Session
from democloud.cloud import Options, default_cache, new_folder
from democloud.openstack import access, catalogue, contents, shape, tempest_conf, template
from democloud.openstack.contents import Contents, User
from democloud.openstack.parts import (
    compute,
    database,
    floating,
    identity,
    image,
    messages,
    network,
    object_store,
    placement,
    tls,
    volume,
)  # isort: skip  # fmt: skip
from democloud.openstack.runtime import Runtime
from democloud.openstack.shape import Shape, Site
from democloud.ports import CloudError
from democloud.services import Services

END_SECONDS = 2.0
"""Time that the services have to end by themselves; nothing in them has to be kept."""

PARTS: dict[str, tuple[ModuleType, ...]] = {
    "identity": (identity,), "object-store": (object_store,), "image": (image,), "compute": (placement, compute),
    "network": (network,), "volume": (volume,),
}  # fmt: skip

APIS: dict[str, ModuleType] = {
    "identity": identity, "image": image, "placement": placement, "compute": compute, "network": network,
    "volume": volume,
}  # fmt: skip
"""Port to the API behind it; Swift's start waits for its own."""


@dataclass(frozen=True)
class _Running:
    site: Site
    contents: Contents


class WholeCloud:
    """A cloud of the given shape."""

    region = REGION
    admin_user = "admin"
    admin_project = "admin"
    admin_domain = "Default"

    def __init__(self, folder: Path, options: Options | None = None, wanted: Shape | None = None) -> None:
        self.folder = folder.absolute()
        self.options = options or Options()
        self.shape = wanted or Shape()
        self.services = Services(self.folder, self.options.tied)
        self._running: _Running | None = None

    def __enter__(self) -> WholeCloud:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def site(self) -> Site:
        """Its ports and secrets.

        :raises CloudError: it is not started.
        """
        return self._known().site

    @property
    def contents(self) -> Contents:
        """What it held when it was started."""
        return self._known().contents

    @property
    def auth_url(self) -> str:
        """Public address of Keystone's v3 API."""
        return self.site.auth_url

    @property
    def admin_password(self) -> str:
        """The administrator's password, another one for each cloud."""
        return self.site.passwords["admin"]

    def session(self, user: str = "", password: str = "", project: str = "") -> Session:  # nosec B107 - empty: none
        """Log in: as the administrator, or as another user."""
        if not user:
            return Session(access.administrator(self.site))
        return Session(Account(self.auth_url, user, password, project or user, self.site.ca_file))

    def tempest_conf(self) -> dict[str, dict[str, Any]]:
        """The tempest.conf that an expert would write for it: section → option → value."""
        return tempest_conf.whole(self.site, self.contents)

    def vendor_conf(self) -> dict[str, dict[str, Any]]:
        """Address and administrator alone; the rest can be found out."""
        return tempest_conf.vendor(self.site)

    def start(self) -> None:
        """Prepare and start everything; returns when all the services are ready for tests.

        :raises CloudError: not root, something is missing or does not start, or the folder is in use.
        """
        if os.geteuid() != 0:
            raise CloudError("the whole cloud needs root: for Debian packages, network namespaces and Cinder's helper")
        new_folder(self.folder)
        self.folder.chmod(0o700)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        cache = self.options.cache or default_cache()
        ware = software.prepare(cache, self.options.say, self.shape.release, tls=self.shape.tls)
        runtime = Runtime(ware, self.services, cache, self.options.say)
        prepared = template.prepared(self.shape.release, runtime)
        site = shape.draw(self.folder, self.shape)
        self._running = _Running(site, Contents())
        self._save()
        _start_base(site, runtime, prepared)
        _start_services(site, runtime)
        admin = Session(access.administrator(site))
        contents.await_daemons(site, admin)
        self.options.say("all services are ready; making flavors, images, networks and users")
        self._running = _Running(site, contents.fill(site, admin))
        self._save()
        access.write(site, self.contents)
        runtime.grow(self.shape.workers)

    def stop(self) -> None:
        """End all the processes of this cloud and take its addresses away; its files stay."""
        self.services.stop(seconds=END_SECONDS)
        if self._running and self.site.shape.routed:
            floating.stop(self.site)

    def describe(self) -> dict[str, Any]:
        """What a person needs to use the cloud, without passwords."""
        files = {name: str(self.folder / name) for name in ("openrc", "clouds.yaml", "accounts.yaml")}
        return {"auth_url": self.auth_url, "region": REGION, "user": self.admin_user, "release": self.shape.release,
                "services": list(self.shape.services), **files, "running": sorted(self.services.pids)}  # fmt: skip

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether a whole cloud was started below a folder."""
        path = folder / "cloud.json"
        return path.is_file() and "site" in json.loads(path.read_text())

    @classmethod
    def load(cls, folder: Path) -> WholeCloud:
        """Take over the cloud that another process started below ``folder``.

        :raises CloudError: there is none.
        """
        path = folder.absolute() / "cloud.json"
        try:
            saved = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise CloudError(f"{folder}: no cloud was started here") from error
        site, made = Site.from_json(saved["site"]), saved["contents"]
        users = tuple(User(**each) for each in made["users"])
        cloud = cls(folder, Options(tied=False), site.shape)
        cloud._running = _Running(site, Contents(tuple(made["images"]), made["public_network"], users))
        cloud.services.load()
        return cloud

    def _save(self) -> None:
        path = self.folder / "cloud.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps({"site": self.site.as_json(), "contents": asdict(self.contents)}, indent=1))

    def _known(self) -> _Running:
        if self._running is None:
            raise CloudError("the cloud is not started")
        return self._running


def _start_base(site: Site, runtime: Runtime, prepared: Path) -> None:
    """Write all configuration; start MariaDB, memcached and RabbitMQ."""
    runtime.say("starting MariaDB, RabbitMQ and memcached")
    template.copy(prepared, site)
    for part in _parts(site):
        part.configure(site, runtime)
    messages.start(site, runtime)
    first = [*catalogue.statements(site), *compute.statements(site), *volume.statements(site)]
    first += template.passwords(site, runtime)
    database.start(site, runtime, first)
    messages.await_ready(site, runtime)


def _start_services(site: Site, runtime: Runtime) -> None:
    """Start the services side by side, and return when all of them answer."""
    runtime.say(f"starting {', '.join(site.shape.services)}")
    for part in _parts(site):
        part.start(site, runtime)
    if site.shape.tls:
        tls.start(site, runtime)
    if site.shape.routed and site.shape.ssh:
        floating.start(site, runtime)
    started = _parts(site)
    runtime.await_answers([(api.NAME, site.inner(port)) for port, api in APIS.items() if api in started])


def _parts(site: Site) -> list[ModuleType]:
    return [part for service in site.shape.services for part in PARTS[service]]
