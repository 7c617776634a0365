"""What OpenStack's clients take for one service of a cloud alone (``compute_interface``), as Tempest options.

Standard library alone: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SECTIONS = {
    "compute": "compute",
    "image": "image",
    "network": "network",
    "placement": "placement",
    "object_store": "object-storage",
    "block_storage": "volume",
    "block_store": "volume",
    "volumev3": "volume",
    "volumev2": "volume",
    "volume": "volume",
}
"""Type of a service, as names of settings begin with it, to Tempest's section; today's types come first."""
_OPTIONS = {
    "interface": "endpoint_type",
    "endpoint_type": "endpoint_type",
    "service_type": "catalog_type",
    "region_name": "region",
}
"""How the setting is called to the option of the section."""
_IDENTITY = ("identity_interface", "identity_endpoint_type")
_UNUSED = {
    "endpoint_override": "Tempest takes the addresses of services from the cloud's catalogue",
    "region_name": "Tempest has no such option for this service",
    "interface": "Tempest has no such option for this service",
    "endpoint_type": "Tempest has no such option for this service",
    "service_type": "Tempest has no such option for this service",
}


def with_services(conf: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return options with the interfaces, regions and types in the catalogue that single services have.

    :param values: settings under the names that they have in clouds.yaml.
    """
    found: dict[str, dict[str, Any]] = {}
    for service, section in _SECTIONS.items():
        for setting, option in _OPTIONS.items():
            if value := values.get(f"{service}_{setting}"):
                text = interface_kind(value) if option == "endpoint_type" else str(value)
                found.setdefault(section, {}).setdefault(option, text)
    kinds = [interface_kind(values[name]) for name in _IDENTITY if values.get(name)]
    if kinds:
        found["identity"] = {"v3_endpoint_type": kinds[0]}
    return {section: {**conf.get(section, {}), **found.get(section, {})} for section in (*conf, *found)}


def interface_kind(value: Any) -> str:
    """Return an interface as catalogues call it; of a list the first, which clients try first."""
    first = next(iter(value), "") if isinstance(value, list) else value
    return str(first or "").strip().removesuffix("URL").lower()


def why_unused(name: str) -> str:
    """Return what follows from a setting of one service that Tempest does not use; empty for any other name."""
    for setting, consequence in _UNUSED.items():
        if name.endswith(f"_{setting}"):
            service = name[: -len(setting) - 1]
            is_used = name in _IDENTITY or (service in _SECTIONS and setting in _OPTIONS)
            return "" if is_used else consequence
    return _UNUSED[name] if name == "endpoint_override" else ""
