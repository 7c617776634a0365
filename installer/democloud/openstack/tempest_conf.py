"""The tempest.conf that a person who knows a whole cloud would write."""

from __future__ import annotations

from typing import Any

from democloud.api import REGION
from democloud.openstack.catalogue import types
from democloud.openstack.contents import FLAVORS, MEMBER, Contents
from democloud.openstack.shape import VOLUME_TYPES, Site
from democloud.swift import FEATURES

Conf = dict[str, dict[str, Any]]
PROGRAMS = {"object-store": "swift", "image": "glance", "compute": "nova", "network": "neutron", "volume": "cinder"}
BUILD = {"build_interval": 1, "build_timeout": 120}


def vendor(site: Site) -> Conf:
    """What a vendor gives: address, region and administrator."""
    identity = {"uri_v3": site.auth_url, "auth_version": "v3", "region": REGION}
    return {
        "auth": {
            "admin_username": "admin",
            "admin_password": site.passwords["admin"],
            "admin_project_name": "admin",
            "admin_domain_name": "Default",
        },
        "identity": {**identity, **({"ca_certificates_file": site.ca_file} if site.ca_file else {})},
    }


def whole(site: Site, contents: Contents) -> Conf:
    """Everything that Tempest should know of this cloud: section → option → value."""
    conf = vendor(site)
    conf["auth"]["use_dynamic_credentials"] = True
    conf["service_available"] = {program: site.shape.has(service) for service, program in PROGRAMS.items()}
    sections: dict[str, Conf] = {
        "object-store": _object_store(),
        "image": {"image": {"build_timeout": 120}, "image-feature-enabled": {"image_format_enforcement": False}},
        "compute": _compute(contents),
        "volume": _volume(site),
        "network": {"network": _network(contents), "validation": _validation(site)},
    }
    for service, more in sections.items():
        if site.shape.has(service):
            conf.update(more)
    return conf


def _object_store() -> Conf:
    # there is no second cluster here to synchronise with
    features = {"container_sync": False, "discoverable_apis": list(FEATURES)}
    roles = {"operator_role": MEMBER, "reseller_admin_role": "ResellerAdmin"}
    return {"object-storage": roles, "object-storage-feature-enabled": features}


def _compute(contents: Contents) -> Conf:
    flavors = [key for key, _, _ in FLAVORS.values()]
    images = dict(zip(("image_ref", "image_ref_alt"), contents.images))
    compute = {"flavor_ref": flavors[0], "flavor_ref_alt": flavors[1], "min_compute_nodes": 1, **images, **BUILD}
    ranges = {"min_microversion": "2.1", "max_microversion": "latest", "volume_device_name": "vdb"}
    # there is one host, and the stand-in for a hypervisor has no screen
    features = {"resize": True, "cold_migration": False, "live_migration": False, "console_output": True,
                "vnc_console": False, "spice_console": False}  # fmt: skip
    return {"compute": {**compute, **ranges}, "compute-feature-enabled": features}


def _volume(site: Site) -> Conf:
    listed = [kind for kind in types(site) if kind in VOLUME_TYPES]
    ranges = {"min_microversion": "3.0", "max_microversion": "latest", "storage_protocol": "fake"}
    volume = {"catalog_type": listed[0], **ranges, **BUILD} if listed else {}
    return {"volume": volume, "volume-feature-enabled": {"backup": False}}


def _network(contents: Contents) -> dict[str, Any]:
    public = contents.public_network
    return {"public_network_id": public, "floating_network_name": "public"} if public else {}


def _validation(site: Site) -> dict[str, Any]:
    if not (site.shape.routed and site.shape.ssh):
        return {"run_validation": False}
    ssh = {"auth_method": "keypair", "ssh_timeout": 60, "connect_timeout": 10}
    return {"run_validation": True, "connect_method": "floating", **ssh}
