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
PLUGIN_SECTIONS = {"designate": "dns", "heat": "heat_plugin", "manila": "share"}
"""The same options to the sections of the plugins' configuration."""
ALL_TYPES = {**SERVICE_TYPES, **PLUGIN_SERVICES}
ALL_SECTIONS = {**SECTIONS, **PLUGIN_SECTIONS}
WITHOUT_REGION = "designate"
"""The one service whose section has no region: its plugin takes that of ``[identity]``."""
PUBLIC = "public"
"""The interface at which Tempest reaches services unless another is set."""


def types_of(conf: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return the types under which each service is looked for: the one that was set, else :data:`ALL_TYPES`."""
    given = _given(conf, "catalog_type")
    return {name: (given[name],) if given[name] else kinds for name, kinds in ALL_TYPES.items()}


def interfaces_of(conf: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the catalogue's type of each service to the interface at which Tempest reaches it."""
    given = _given(conf, "endpoint_type")
    return {
        kind: (given[name] or PUBLIC).removesuffix("URL") for name, kinds in types_of(conf).items() for kind in kinds
    }


def own_regions_of(conf: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the catalogue's types of the services whose section has a ``region`` to that region.

    Tempest looks for these services there, and for all others in ``identity.region``.
    """
    given = {**_given(conf, "region"), WITHOUT_REGION: ""}
    return {kind: given[name] for name, kinds in types_of(conf).items() for kind in kinds if given[name]}


def _given(conf: Mapping[str, Mapping[str, Any]], option: str) -> dict[str, str]:
    """Return an option of each service's section; empty where it is not set."""
    return {name: str(conf.get(section, {}).get(option) or "").strip() for name, section in ALL_SECTIONS.items()}
