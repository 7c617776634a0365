"""Swift of a whole cloud: the small cloud's, with the whole cloud's ports, secrets and memcached."""

from __future__ import annotations

from democloud import swift
from democloud.openstack.runtime import Runtime
from democloud.openstack.shape import Site


def configure(site: Site, runtime: Runtime) -> None:
    swift.create(runtime.software, _swift(site), site.inner_auth_url, "root")


def start(site: Site, runtime: Runtime) -> None:
    swift.start(runtime.software, _swift(site), runtime.services)


def _swift(site: Site) -> swift.Swift:
    backends = tuple(site.ports[f"swift-{kind}"] for kind in swift.BACKENDS)
    folder, port = site.folder / "swift", site.ports["object-store"]
    return swift.Swift(folder, port, backends, site.ports["memcached"], site.passwords["service"])
