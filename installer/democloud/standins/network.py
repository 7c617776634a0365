"""Stands in for the Open vSwitch and L3 agents: every port is active at once, and so is every floating address."""

from __future__ import annotations

from typing import Any

from neutron.db import l3_db
from neutron.services.l3_router import l3_router_plugin
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api


class Mechanism(api.MechanismDriver):
    """Binds each port to the first segment of its network."""

    def initialize(self) -> None:
        """Nothing has to be prepared."""

    @property
    def connectivity(self) -> str:
        """What Neutron reports of the ports."""
        return str(portbindings.CONNECTIVITY_L2)

    def bind_port(self, context: Any) -> None:
        """Bind a port as the Open vSwitch driver would, and say that it is up."""
        segment = context.segments_to_bind[0]
        details = {portbindings.CAP_PORT_FILTER: True}
        context.set_binding(segment[api.ID], portbindings.VIF_TYPE_OVS, details, status=constants.PORT_STATUS_ACTIVE)


class Routers(l3_router_plugin.L3RouterPlugin):
    """Neutron's router service without agents."""

    def create_floatingip(self, context: Any, floatingip: Any) -> Any:
        """Create a floating address that is active without an agent's report."""
        return l3_db.L3_NAT_db_mixin.create_floatingip(
            self, context, floatingip, initial_status=constants.FLOATINGIP_STATUS_ACTIVE
        )
