"""The services that are looked for in a cloud: their names in the catalogue and in Tempest's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SERVICE_TYPES = {
    "nova": ("compute",),
    "glance": ("image",),
    "neutron": ("network",),
    "cinder": ("volumev3", "block-storage", "block-store", "volume", "volumev2"),
    "swift": ("object-store", "object-storage"),
}
"""Option of ``[service_available]`` to the catalogue's types, the usual one first."""
SECTIONS = {"nova": "compute", "glance": "image", "neutron": "network", "cinder": "volume", "swift": "object-storage"}
"""The same options to the sections of Tempest's configuration."""
PLUGIN_TYPES = {"share": ("sharev2", "shared-file-system", "share"), "baremetal": ("baremetal", "bare-metal")}
"""Section of a Tempest plugin to the types under which catalogues have its service."""
PLUGIN_SERVICES = {"designate": ("dns",), "heat": ("orchestration",), "manila": PLUGIN_TYPES["share"]}
"""Option of ``[service_available]`` of a Tempest plugin, true unless it is set, to the catalogue's types."""
PUBLIC = "public"
"""The interface at which Tempest reaches services unless another is set."""


def types_of(conf: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return the types under which each service is looked for: the one that was set, else :data:`SERVICE_TYPES`."""
    given = {name: str(conf.get(section, {}).get("catalog_type") or "") for name, section in SECTIONS.items()}
    return {name: (given[name],) if given[name] else kinds for name, kinds in SERVICE_TYPES.items()}


def interfaces_of(conf: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the catalogue's type of each service to the interface at which Tempest reaches it."""
    return {
        kind: str(conf.get(SECTIONS[name], {}).get("endpoint_type") or PUBLIC).removesuffix("URL")
        for name, kinds in types_of(conf).items()
        for kind in kinds
    }


def own_regions_of(conf: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the catalogue's types of the services whose section has a ``region`` to that region.

    Tempest looks for these services there, and for all others in ``identity.region``.
    """
    given = {name: str(conf.get(section, {}).get("region") or "") for name, section in SECTIONS.items()}
    return {kind: given[name] for name, kinds in types_of(conf).items() for kind in kinds if given[name]}
