"""Keystone's catalogue of a whole cloud: complete in the prepared database, then cut to each cloud's shape."""

from __future__ import annotations

from democloud.api import REGION
from democloud.openstack.shape import VOLUME_TYPES, Site

NAMES = {
    "identity": "keystone", "object-store": "swift", "image": "glance", "placement": "placement", "compute": "nova",
    "network": "neutron", "volumev3": "cinderv3", "block-storage": "cinder",
}  # fmt: skip
"""Service types to the names that they are registered under."""

USERS = ("swift", "glance", "placement", "nova", "neutron", "cinder")
"""Accounts of the services themselves."""

PATHS = {
    "identity": "/v3", "object-store": "/v1/AUTH_$(project_id)s", "compute": "/v2.1", "volumev3": "/v3",
    "block-storage": "/v3",
}  # fmt: skip

TRIM = (
    "DELETE FROM keystone.endpoint WHERE service_id IN (SELECT id FROM keystone.service WHERE type NOT IN ('{kept}'))",
    "DELETE FROM keystone.service WHERE type NOT IN ('{kept}')",
)
ADDRESS = (
    "UPDATE keystone.endpoint SET url = '{url}' WHERE service_id IN "
    "(SELECT id FROM keystone.service WHERE type = '{kind}')"
)
SECOND_REGION = (
    "INSERT INTO keystone.region (id, description, extra) VALUES ('{name}', '', '{{}}')",
    "INSERT INTO keystone.endpoint (id, interface, region_id, service_id, url, extra, enabled) "
    "SELECT REPLACE(UUID(), '-', ''), interface, '{name}', service_id, "
    "REGEXP_REPLACE(url, '127.0.0.1:[0-9]+', '127.0.0.1:{port}'), extra, enabled "
    "FROM keystone.endpoint WHERE region_id = '{first}'",
)
"""A region like the first one, at a port on which nothing listens."""


def types(site: Site) -> tuple[str, ...]:
    """The service types that this cloud lists."""
    shape = site.shape
    listed = [service for service in shape.services if service != "volume"]
    listed += ["placement"] if shape.has("compute") else []
    listed += shape.catalog_volume if shape.has("volume") else ()
    return tuple(listed)


def statements(site: Site) -> list[str]:
    """SQL that puts this cloud's addresses in place and takes out what it does not have."""
    kept = "', '".join(types(site))
    return [
        *(line.format(kept=kept) for line in TRIM),
        *(line for kind in types(site) for line in _addresses(site, kind)),
        *(_second_region(site) if site.shape.second_region else ()),
    ]


def _addresses(site: Site, kind: str) -> list[str]:
    service, path = _service(kind), PATHS.get(kind, "")
    return [
        ADDRESS.format(kind=kind, url=site.inner(service) + path),
        ADDRESS.format(kind=kind, url=site.public(service) + path) + " AND interface = 'public'",
    ]


def _second_region(site: Site) -> list[str]:
    values = {"name": site.shape.second_region, "port": site.ports["closed"], "first": REGION}
    return [line.format(**values) for line in SECOND_REGION]


def _service(kind: str) -> str:
    return "volume" if kind in VOLUME_TYPES else kind
