"""Configuration files of OpenStack's services, and the sections that many of them share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from democloud.api import REGION
from democloud.keystone import SERVICE_PROJECT
from democloud.openstack.shape import Site

Sections = Mapping[str, Mapping[str, Any]]


def write(path: Path, sections: Sections) -> None:
    """Write a file that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text(sections))


def text(sections: Sections) -> str:
    """The text of such a file; sections without options are left out."""
    return "".join(f"[{name}]\n{_options(options)}" for name, options in sections.items() if options)


def _options(options: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {_value(value)}\n" for name, value in options.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def credentials(site: Site, user: str) -> dict[str, Any]:
    """How a service logs in at Keystone; ``user`` is its own account, such as ``nova``."""
    return {
        "auth_url": site.inner_auth_url,
        "auth_type": "password",
        "username": user,
        "password": site.passwords["service"],
        "project_name": SERVICE_PROJECT,
        "user_domain_id": "default",
        "project_domain_id": "default",
        "region_name": REGION,
    }


def common(site: Site, user: str) -> dict[str, dict[str, Any]]:
    """Sections that every API has: whom it believes, where it locks, and that TLS ends before it."""
    token = {
        **credentials(site, user),
        "www_authenticate_uri": site.auth_url,
        "interface": "internal",
        "memcached_servers": f"127.0.0.1:{site.ports['memcached']}",
        "service_token_roles": "service",  # noqa: S105 - names a role
        # without it Nova and Cinder refuse to detach a volume (409)
        "service_token_roles_required": True,  # noqa: S105 - names a role
    }
    return {
        "keystone_authtoken": token,
        "oslo_concurrency": {"lock_path": site.folder / "locks"},
        "oslo_middleware": {"enable_proxy_headers_parsing": site.shape.tls},
    }


def cache(site: Site) -> dict[str, Any]:
    """A ``[cache]`` section that uses the cloud's memcached."""
    return {
        "enabled": True,
        "backend": "dogpile.cache.memcached",
        "memcache_servers": f"127.0.0.1:{site.ports['memcached']}",
    }
