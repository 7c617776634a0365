"""Neutron of a whole cloud: one API without agents, and the namespace in which floating addresses answer."""

from __future__ import annotations

from pathlib import Path

from democloud.openstack import ini
from democloud.openstack.runtime import Api, Runtime
from democloud.openstack.shape import Site

NAME = "neutron"
QUOTAS = ("quota_network", "quota_subnet", "quota_router", "quota_floatingip")
DISTRIBUTION = "refstack_standins-1.dist-info"


def configure(site: Site, runtime: Runtime) -> None:
    """Write ``neutron.conf`` and the entry point by which Neutron finds the stand-in for its agents."""
    _write_entry_point(site)
    sections: ini.Sections = {
        "DEFAULT": {
            "core_plugin": "ml2",
            "service_plugins": "democloud.standins.network.Routers" if site.shape.floating_ips else "",
            # there are no agents to talk to
            "transport_url": "fake://",
            "dhcp_agent_notification": False,
            "api_paste_config": runtime.software.home / "etc" / "neutron" / "api-paste.ini",
            "state_path": site.folder / NAME,
            "notify_nova_on_port_status_changes": site.shape.has("compute"),
            "notify_nova_on_port_data_changes": site.shape.has("compute"),
        },
        "database": {"connection": site.database("neutron")},
        "ml2": {
            "type_drivers": "flat,vlan,vxlan,local",
            "tenant_network_types": "vxlan",
            "mechanism_drivers": "standin",
            "extension_drivers": "port_security",
        },
        "ml2_type_flat": {"flat_networks": "public"},
        "ml2_type_vxlan": {"vni_ranges": "1:60000"},
        "nova": {**ini.credentials(site, NAME), "endpoint_type": "internal"},
        "placement": {**ini.credentials(site, NAME), "endpoint_type": "internal"},
        "quotas": dict.fromkeys(QUOTAS, site.shape.quota) if site.shape.quota else {},
        **ini.common(site, NAME),
    }
    ini.write(site.folder / NAME / "neutron.conf", sections)


def make_schema(site: Site, runtime: Runtime) -> None:
    config = site.folder / NAME / "neutron.conf"
    runtime.manage("neutron-db-manage", "--config-file", config, "upgrade", "heads")


def start(site: Site, runtime: Runtime) -> None:
    env: dict[str, str | Path] = {
        "OS_NEUTRON_CONFIG_DIR": site.folder / NAME,
        "OS_NEUTRON_CONFIG_FILES": "neutron.conf",
    }
    runtime.web(Api(NAME, "neutron.wsgi.api", site.ports["network"], site.shape.workers), **env)


def _write_entry_point(site: Site) -> None:
    folder = site.folder / "entry-points" / DISTRIBUTION
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: refstack-standins\nVersion: 1\n")
    entry = "[neutron.ml2.mechanism_drivers]\nstandin = democloud.standins.network:Mechanism\n"
    (folder / "entry_points.txt").write_text(entry)
