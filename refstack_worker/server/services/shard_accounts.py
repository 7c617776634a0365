"""Accounts of a vendor without an administrator, divided between the shards of a run.

Tests that run at the same time must not use the same account. Accounts of one project stay together, because some
tests need two of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract.accounts import account_sections, without_accounts
from refstack_worker.server.domain.clouds import CloudRecord, Conf
from refstack_worker.server.services.account_needs import ACCOUNTS_PER_PROCESS, accounts_of, has_administrator
from refstack_worker.server.services.inputs.checks import invalid

_ORDINARY = frozenset({"primary", "alt"})
_OF_ONE_PROJECT = "project_"
"""Start of the kinds of accounts that must be in the project of another one."""
_PROJECT = ("project_id", "project_name", "project_domain_id", "project_domain_name", "domain_name")


@dataclass(frozen=True)
class DividedAccounts:
    """The accounts of each shard."""

    groups: tuple[tuple[Sequence[Mapping[str, Any]], ...], ...] = ()
    """For each shard its projects with their accounts.

    Empty: an administrator makes users for the tests, or there are no accounts; nothing is divided.
    """

    @property
    def are_alike(self) -> bool:
        """Whether each shard has projects with accounts of the same roles as the others."""
        kinds = {frozenset(tuple(sorted(map(_rights, project))) for project in group) for group in self.groups}
        return len(kinds) <= 1

    def conf_of(self, conf: Conf, number: int) -> Conf:
        """Return the options of a shard. :param number: of the shard, from 0."""
        if not self.groups:
            return conf
        accounts = [account for project in self.groups[number] for account in project]
        return {**without_accounts(conf), **account_sections(accounts)}

    def can_run(self, kinds: Sequence[str]) -> bool:
        """Return whether each shard has the accounts that a test uses at a time."""
        if not self.groups:
            return True
        if not _ORDINARY.issuperset(kinds) and not self.are_alike:
            return False
        together = sum(kind.startswith(_OF_ONE_PROJECT) for kind in kinds)
        has_room = all(any(len(project) > together for project in group) for group in self.groups)
        return has_room and len(kinds) - together <= min(map(len, self.groups))


def check(conf: Conf, known: CloudRecord | None, shards: int) -> None:
    """Refuse a run whose accounts are too few. :raises InvalidInput: says how many there are, and what to do."""
    accounts = () if has_administrator(conf, known) else accounts_of(conf, known)
    if not accounts:
        return
    most = _most(_projects(accounts))
    if most < shards:
        enough = f"enough for {most}" if most > 1 else "not enough to split the run"
        raise invalid(
            "shards",
            f"each shard needs at least {ACCOUNTS_PER_PROCESS} accounts of its own. Without an administrator this run "
            f"has {len(accounts)}, {enough}. Add accounts, or ask for fewer shards.",
        )


def divided(conf: Conf, known: CloudRecord | None, shards: int) -> DividedAccounts:
    """Return the accounts of each shard; :func:`check` has found them enough."""
    accounts = () if has_administrator(conf, known) else accounts_of(conf, known)
    if not accounts:
        return DividedAccounts()
    groups: list[list[Sequence[Mapping[str, Any]]]] = [[] for _ in range(shards)]
    for project in sorted(_projects(accounts), key=lambda one: (-len(one), sorted(map(_rights, one)))):
        min(groups, key=lambda one: sum(map(len, one))).append(project)
    return DividedAccounts(tuple(map(tuple, groups)))


def _most(projects: Sequence[Sequence[Any]]) -> int:
    """Return into how many groups of at least two accounts each the projects can be divided."""
    sizes = [len(one) for one in projects]
    large = sum(size >= ACCOUNTS_PER_PROCESS for size in sizes)
    return large + sum(size < ACCOUNTS_PER_PROCESS for size in sizes) // ACCOUNTS_PER_PROCESS


def _projects(accounts: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    found: dict[Any, list[Mapping[str, Any]]] = {}
    for place, one in enumerate(accounts):
        named = tuple(str(one.get(name) or "") for name in _PROJECT)
        # without a project in its options, an account is in one of its own
        found.setdefault(named if any(named[:2]) else place, []).append(one)
    return list(found.values())


def _rights(account: Mapping[str, Any]) -> tuple[str, ...]:
    words = [("role", account.get("roles")), ("type", account.get("types"))]
    return tuple(sorted(f"{what} {name}" for what, names in words for name in names or ()))
