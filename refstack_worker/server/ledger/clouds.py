"""Clouds: RefStack's rows, what the queue adds, and the passwords that a vendor keeps here, sealed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from refstack_worker.contract import tempest_options
from refstack_worker.contract.accounts import accounts_in, is_account_section, without_accounts
from refstack_worker.contract.keystone_address import is_same_server
from refstack_worker.contract.option_addresses import elsewhere
from refstack_worker.errors import NotFoundError, SealError, StateError
from refstack_worker.server.db import account_tables, legacy_tables, queue_tables
from refstack_worker.server.domain.accounts import AccessScope
from refstack_worker.server.domain.clouds import Cloud, CloudCheck, CloudRecord, Conf, NewCloud
from refstack_worker.server.domain.runs import SHARD
from refstack_worker.server.ledger.run_rows import (
    CLOUD_COLUMNS,
    cloud_of,
)
from refstack_worker.server.ledger.transactions import (
    LedgerPart,
    Row,
    new_id,
)

_CLOUD, _EXTRA = legacy_tables.cloud, account_tables.cloud_extra
_LEGACY = ("label", "endpoint_v3", "test_user", "alt_user", "admin_user", "version")


class Clouds(LedgerPart):
    """Add, change, look at and remove clouds."""

    def all(self, scope: AccessScope | None, limit: int = 500) -> list[CloudRecord]:
        """Return clouds by label. :param scope: None: everybody's."""
        question = _clouds().order_by(func.lower(_CLOUD.c.label), _CLOUD.c.id).limit(limit)
        if scope is not None:
            question = question.where(_CLOUD.c.user_id.in_(scope.owner_ids or (-1,)))
        with self.database.reading() as connection:
            return [self._cloud(row) for row in connection.execute(question).mappings().all()]

    def get(self, cloud_id: int, scope: AccessScope | None = None) -> CloudRecord:
        """Return a cloud. :raises NotFoundError: no such id, or it belongs to another user."""
        with self.database.reading() as connection:
            row = connection.execute(_clouds().where(_CLOUD.c.id == cloud_id)).mappings().first()
        if row is None or (scope is not None and row["user_id"] not in scope.owner_ids):
            raise NotFoundError(f"there is no cloud {cloud_id}")
        return self._cloud(row)

    def count_of(self, owner_ids: Sequence[int]) -> int:
        """Return how many clouds some users have."""
        question = select(func.count()).select_from(_CLOUD).where(_CLOUD.c.user_id.in_(owner_ids or (-1,)))
        with self.database.reading() as connection:
            return int(connection.execute(question).scalar_one())

    def labels_of(self, owner_ids: Sequence[int | None]) -> frozenset[str]:
        """Return the names of the clouds of some users; None among them: those that belong to no user."""
        named = [one for one in owner_ids if one is not None]
        owned = _CLOUD.c.user_id.in_(named or (-1,))
        where = or_(owned, _CLOUD.c.user_id.is_(None)) if len(named) < len(owner_ids) else owned
        with self.database.reading() as connection:
            return frozenset(connection.execute(select(_CLOUD.c.label).where(where)).scalars())

    def add(self, new: NewCloud) -> CloudRecord:
        """Enter a cloud.

        :raises PayloadError: options that no run may have.
        :raises NotFoundError: there is no such user.
        """
        values = {name: getattr(new, name) for name in _LEGACY}
        try:
            with self.database.writing() as connection:
                made = connection.execute(insert(_CLOUD).values(**values, endpoint="", user_id=new.user_id))
                cloud_id = new_id(made)
                self._add_extra(connection, cloud_id, new)
        except IntegrityError:
            raise NotFoundError(f"there is no user {new.user_id}") from None
        return self.get(cloud_id)

    def change(self, cloud_id: int, new: NewCloud) -> CloudRecord:
        """Change a cloud; whose it is stays. If it names another server, passwords stored before are forgotten.

        :raises PayloadError: options that no run may have.
        """
        values = {name: getattr(new, name) for name in _LEGACY}
        extra = {"region": new.region, "release": new.release, "checked_at": 0.0}
        if new.conf_json is not None or new.accounts is not None:
            kept = self.saved_passwords(cloud_id) if self._stays_on_its_servers(cloud_id, new) else {}
            extra["sealed_conf"] = self._sealed(_secrets(new, kept))
        if new.options is not None:
            extra["options"] = _options(new.options)
        with self.database.writing() as connection:
            connection.execute(update(_CLOUD).where(_CLOUD.c.id == cloud_id).values(values))
            changed = update(_EXTRA).where(_EXTRA.c.cloud_id == cloud_id).values(extra)
            if connection.execute(changed).rowcount == 0:
                self._add_extra(connection, cloud_id, new)
        return self.get(cloud_id)

    def delete(self, cloud_id: int) -> None:
        """Remove a cloud. :raises StateError: there are runs of it, which would lose what they were about."""
        with self.database.writing() as connection:
            used = select(func.count()).select_from(legacy_tables.test).where(legacy_tables.test.c.cloud_id == cloud_id)
            runs = connection.execute(used).scalar()
            if runs:
                label = connection.execute(select(_CLOUD.c.label).where(_CLOUD.c.id == cloud_id)).scalar()
                raise StateError(f'"{label}" has {runs} run{"s" if runs > 1 else ""}. Delete them first.')
            connection.execute(delete(_EXTRA).where(_EXTRA.c.cloud_id == cloud_id))
            connection.execute(delete(_CLOUD).where(_CLOUD.c.id == cloud_id))

    def saved_conf(self, cloud_id: int) -> dict[str, dict[str, Any]]:
        """Return what is stored of a cloud: its options, with the passwords."""
        found: dict[str, dict[str, Any]] = {}
        for layer in (self.get(cloud_id).options, self.saved_passwords(cloud_id)):
            for section, values in layer.items():
                found.setdefault(section, {}).update(values)
        return found

    def saved_passwords(self, cloud_id: int) -> dict[str, dict[str, Any]]:
        """Return the options that are stored encrypted; none if none are."""
        with self.database.reading() as connection:
            sealed = connection.execute(select(_EXTRA.c.sealed_conf).where(_EXTRA.c.cloud_id == cloud_id)).scalar()
        return self.secrets.open(sealed)

    def note_check(self, cloud_id: int, check: CloudCheck) -> None:
        """Note what came of a look at a cloud."""
        values = {"checked_at": self.clock(), "check_ok": check.ok, "check_said": check.said[:2000]}
        with self.database.writing() as connection:
            changed = update(_EXTRA).where(_EXTRA.c.cloud_id == cloud_id).values(values)
            if connection.execute(changed).rowcount == 0:
                row = {"cloud_id": cloud_id, "region": "", "release": "", "created_at": self.clock(), **values}
                connection.execute(insert(_EXTRA).values(row))

    def of_test(self, test_id: int) -> Cloud | None:
        """Return the cloud of a legacy ``test`` row (an empty one if it has none); None: no such row."""
        test, cloud = legacy_tables.test, legacy_tables.cloud
        question = (
            select(test.c.id.label("test"), *CLOUD_COLUMNS)
            .select_from(test.outerjoin(cloud, test.c.cloud_id == cloud.c.id))
            .where(test.c.id == test_id)
        )
        with self.database.reading() as connection:
            row = connection.execute(question).mappings().first()
        return None if row is None else cloud_of(row)

    def history(self, cloud_id: int, limit: int = 100) -> list[Row]:
        """Return the last runs of a cloud with a result, the oldest first: counts, seconds, when."""
        run, result = queue_tables.run, queue_tables.result
        joined = run.join(result, result.c.test_id == run.c.test_id).join(
            legacy_tables.test, legacy_tables.test.c.id == run.c.test_id
        )
        question = (
            select(run.c.test_id, run.c.ended_at, run.c.label, result.c.passed, result.c.failed, result.c.seconds)
            .add_columns(result.c.skipped)
            .select_from(joined)
            .where(legacy_tables.test.c.cloud_id == cloud_id, run.c.kind != SHARD)
            .order_by(run.c.test_id.desc())
            .limit(limit)
        )
        with self.database.reading() as connection:
            return list(reversed(connection.execute(question).mappings().all()))

    def _stays_on_its_servers(self, cloud_id: int, new: NewCloud) -> bool:
        """Return whether a changed cloud names only servers that got the stored passwords before."""
        endpoint, saved = self.get(cloud_id).cloud.endpoint_v3, self.saved_conf(cloud_id)
        layers = (new.options or {}, new.conf_json or {})
        return is_same_server(endpoint, new.endpoint_v3) and not any(elsewhere(one, saved, endpoint) for one in layers)

    def _add_extra(self, connection: Connection, cloud_id: int, new: NewCloud) -> None:
        row = {
            "cloud_id": cloud_id,
            "region": new.region,
            "release": new.release,
            "sealed_conf": self._sealed(_secrets(new, {})),
            "options": _options(new.options),
            "created_at": self.clock(),
        }
        connection.execute(insert(_EXTRA).values(row))

    def _cloud(self, row: Row) -> CloudRecord:
        legacy = {column.name: row[column.name] for column in _CLOUD.c if row[column.name] is not None}
        check = CloudCheck(row["check_ok"], row["check_said"], row["checked_at"]) if row["checked_at"] else None
        return CloudRecord(
            Cloud(**legacy),
            row["region"] or "",
            row["release"] or "",
            bool(row["sealed_conf"]),
            check,
            row["created_at"] or 0.0,
            json.loads(row["options"] or "{}"),
            self._count_accounts(row["sealed_conf"]),
        )

    def _count_accounts(self, sealed: str | None) -> int:
        try:
            return len(accounts_in(self.secrets.open(sealed))) if sealed else 0
        except SealError:
            # a list of clouds must not fail because a key was lost
            return 0

    def _sealed(self, conf: Conf | None) -> str | None:
        if not conf:
            return None
        tempest_options.check(conf)
        return self.secrets.seal(conf)


def _secrets(new: NewCloud, stored: Conf) -> Conf:
    """Return what is stored encrypted: passwords and accounts, each as it was where nothing new is given."""
    passwords = without_accounts(stored)
    for section, values in (new.conf_json or {}).items():
        passwords.setdefault(section, {}).update(values)
    if new.conf_json == {}:
        passwords = {}
    accounts = new.accounts
    if accounts is None:
        accounts = {name: values for name, values in stored.items() if is_account_section(name)}
    return {**passwords, **accounts}


def _options(options: Conf | None) -> str | None:
    if not options:
        return None
    tempest_options.check(options)
    return json.dumps(options)


def _clouds() -> Any:
    extra = _EXTRA
    joined = _CLOUD.outerjoin(extra, extra.c.cloud_id == _CLOUD.c.id)
    return select(_CLOUD, *(column for column in extra.c if column.name != "cloud_id")).select_from(joined)
