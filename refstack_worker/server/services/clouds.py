"""What users do with clouds: add, change, check, remove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract.keystone_address import is_same_server
from refstack_worker.contract.option_addresses import elsewhere
from refstack_worker.errors import StateError
from refstack_worker.server.domain.clouds import CloudRecord
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services import access, cloud_check
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.cloud_input import new_cloud
from refstack_worker.server.services.mini_conf import merged


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
        new = new_cloud(body, caller)
        self._need_other_name(caller, new.label, new.user_id)
        return self.ledger.clouds.add(new)

    def change(self, caller: Caller, cloud_id: int, body: Mapping[str, Any]) -> CloudRecord:
        """Change a cloud; stored passwords stay unless new ones are given."""
        caller.need_writer()
        known, new = self.cloud(caller, cloud_id), new_cloud(body, caller)
        if new.label != known.cloud.label:
            self._need_other_name(caller, new.label, known.cloud.user_id)
        keeps = known.keeps_passwords and new.conf_json is None and new.accounts is None
        # otherwise a token would be enough to have them sent to any server
        if keeps and not is_same_server(known.cloud.endpoint_v3, new.endpoint_v3):
            raise invalid(
                "endpoint_v3", "The stored passwords are for another address. Enter them again, or erase them."
            )
        named = elsewhere(new.options or {}, known.options, known.cloud.endpoint_v3) if keeps else []
        if named:
            raise invalid(
                "conf_json",
                f"{named[0]} points to a different server than the cloud's Keystone URL. The stored passwords were not "
                "meant for it: enter them again, or erase them.",
            )
        return self.ledger.clouds.change(cloud_id, new)

    def delete(self, caller: Caller, cloud_id: int, with_runs: bool = False) -> None:
        """Remove a cloud.

        :param with_runs: remove its runs and their results first; all of them or, if one has to stay, none.
        :raises StateError: it has runs, or one of them is pinned or has not ended.
        """
        caller.need_writer()
        self.cloud(caller, cloud_id)
        if with_runs:
            self._delete_runs(caller, cloud_id)
        self.ledger.clouds.delete(cloud_id)

    def check(self, caller: Caller, cloud_id: int, conf: Mapping[str, Any] | None = None) -> CloudRecord:
        """Test the connection and record what was found.

        :param conf: passwords, and options that count more than the stored ones; without any, the stored passwords are
            used.
        """
        known = self.cloud(caller, cloud_id)
        # a project or a domain belongs to a password that is typed, too
        given = merged(known.options, conf) if conf else self.ledger.clouds.saved_conf(cloud_id)
        guard = self.ledger.settings.outbound.cloud_networks
        with cloud_check.TURNS.turn(caller.token.account):
            found = cloud_check.check(known, given, guard)
        self.ledger.clouds.note_check(cloud_id, found)
        return self.cloud(caller, cloud_id)

    def _need_other_name(self, caller: Caller, label: str, user_id: int | None) -> None:
        """Refuse the name of a cloud that the caller or the caller's vendor has: lists could not tell them apart."""
        scope = access.scope_of(self.ledger, caller)
        owners = (user_id,) if scope is None else scope.owner_ids
        if label in self.ledger.clouds.labels_of(owners):
            raise invalid("label", "You already have a cloud with this name. Edit that cloud, or choose another name.")

    def _delete_runs(self, caller: Caller, cloud_id: int) -> None:
        test_ids = self.ledger.runs.of_cloud(cloud_id)
        pinned = self.ledger.pins.among(test_ids)
        for test_id in test_ids:
            run = access.owned_run(self.ledger, caller, test_id)
            if not run.state.is_end:
                raise StateError(f"run {test_id} has not ended; cancel it first")
            if test_id in pinned:
                raise StateError(f"run {test_id} is pinned; unpin it first")
        for test_id in test_ids:
            self.ledger.retention.delete(test_id)
