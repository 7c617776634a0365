"""What users do with clouds: add, change, check, remove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refstack_worker.errors import StateError
from refstack_worker.server.domain.clouds import CloudRecord
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services import access, cloud_check
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.inputs.cloud_input import new_cloud


@dataclass(frozen=True)
class CloudService:
    """The users' side of clouds."""

    ledger: Ledger

    def visible(self, caller: Caller) -> list[CloudRecord]:
        """Return the clouds of a caller and the caller's vendor."""
        return self.ledger.clouds.all(access.scope_of(self.ledger, caller))

    def cloud(self, caller: Caller, cloud_id: int) -> CloudRecord:
        """Return a cloud. :raises NotFoundError: there is none."""
        return access.visible_cloud(self.ledger, caller, cloud_id)

    def add(self, caller: Caller, body: Mapping[str, Any]) -> CloudRecord:
        """Add a cloud. :param body: of the schema ``NEW_CLOUD``."""
        caller.need_writer()
        scope, limit = access.scope_of(self.ledger, caller), self.ledger.settings.rules.max_clouds
        if scope is not None and limit and self.ledger.clouds.count_of(scope.owner_ids) >= limit:
            raise StateError(f"Your vendor has {limit} clouds already. Delete one first.")
        return self.ledger.clouds.add(new_cloud(body, caller))

    def change(self, caller: Caller, cloud_id: int, body: Mapping[str, Any]) -> CloudRecord:
        """Change a cloud; stored passwords stay unless new ones are given."""
        caller.need_writer()
        self.cloud(caller, cloud_id)
        return self.ledger.clouds.change(cloud_id, new_cloud(body, caller))

    def delete(self, caller: Caller, cloud_id: int) -> None:
        """Remove a cloud without runs."""
        caller.need_writer()
        self.cloud(caller, cloud_id)
        self.ledger.clouds.delete(cloud_id)

    def check(self, caller: Caller, cloud_id: int, conf: Mapping[str, Any] | None = None) -> CloudRecord:
        """Test the connection and record what was found. :param conf: passwords; without any the stored ones."""
        known = self.cloud(caller, cloud_id)
        given = conf or self.ledger.clouds.saved_conf(cloud_id)
        guard = self.ledger.settings.outbound.cloud_networks
        with cloud_check.TURNS.turn(caller.token.account):
            found = cloud_check.check(known, given, guard)
        self.ledger.clouds.note_check(cloud_id, found)
        return self.cloud(caller, cloud_id)
