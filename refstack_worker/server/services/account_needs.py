"""Tells in advance whether the accounts of a run are enough for the tests of a program.

Without an administrator Tempest cannot make users: each test class takes the accounts that it asks for out of the list
that it is given, and fails where there are too few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refstack_worker.contract.accounts import accounts_in, different_accounts
from refstack_worker.server.domain.clouds import CloudRecord
from refstack_worker.server.domain.guidelines import Program
from refstack_worker.server.services import tempest_tests
from refstack_worker.server.services.tempest_tests import Accounts

Conf = Mapping[str, Mapping[str, Any]]
ACCOUNTS_PER_PROCESS = 2
"""Most test classes use two accounts at a time."""
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
_SPECIAL = {
    "admin": ("an administrator", "admin", "admin"),
    "system_admin": ("an administrator", "admin", "admin"),
    "reseller": ("an account with ResellerAdmin", "ResellerAdmin", "reseller_admin"),
    "project_manager": ("an account with the role manager", "manager", ""),
}
"""Kind of account to how it is called, the role that makes an account one, and its type in an accounts file."""


def warnings(conf: Conf, known: CloudRecord | None, version: str, program: Program) -> Iterator[str]:
    """Yield what the accounts are too few or too weak for.

    :param version: of Tempest; one that is not in the table is treated as the newest that is.
    """
    if has_administrator(conf, known):
        return
    accounts = accounts_of(conf, known)
    needs = (tempest_tests.of_version(version) or tempest_tests.newest()).needs(program.tests())
    too_few = Counter({kinds: count for kinds, count in needs.items() if len(kinds) > len(accounts)})
    lacking = [(count, _accounts_word(size)) for size, count in sorted(_by_size(too_few).items())]
    lacking += [(count, name) for name, count in _special(needs, accounts, _reseller_role(conf)).items()]
    if lacking:
        total = sum(needs.values())
        unless = "" if accounts_in(conf) or not accounts else ", unless the user is an administrator"
        yield (
            f"Without an administrator, {_phrases(lacking, total)}; the run has {_accounts_word(len(accounts))}. These "
            f"tests will be skipped or fail{unless}. Add accounts to the cloud, or give them for this run."
        )


def side_by_side(conf: Conf, known: CloudRecord | None) -> str:
    """Return a sentence about how many tests can run at a time; empty where the accounts set no limit."""
    if has_administrator(conf, known):
        return ""
    accounts = accounts_of(conf, known)
    processes = max(1, len(accounts) // ACCOUNTS_PER_PROCESS)
    if not accounts:
        return ""
    how = "one test at a time" if processes == 1 else f"at most {processes} tests at a time"
    return f" With {_accounts_word(len(accounts))}, {how}: each may use two."


def has_administrator(conf: Conf, known: CloudRecord | None) -> bool:
    """Return whether Tempest can make users for its tests."""
    auth, identity = conf.get("auth", {}), conf.get("identity", {})
    name = auth.get("admin_username") or identity.get("admin_username") or (known.cloud.admin_user if known else "")
    return bool(name and (auth.get("admin_password") or identity.get("admin_password")))


def accounts_of(conf: Conf, known: CloudRecord | None) -> list[Mapping[str, Any]]:
    """Return the accounts that a run will have: those that are listed, else the first and the second user.

    Of those that Tempest does not tell apart, one counts.
    """
    listed = accounts_in(conf) or _users(conf, known)
    return [listed[place] for place in different_accounts(listed)]


def _users(conf: Conf, known: CloudRecord | None) -> list[dict[str, Any]]:
    identity = conf.get("identity", {})
    first = identity.get("username") or identity.get("user_id") or (known.cloud.test_user if known else "")
    second = identity.get("alt_username") or identity.get("alt_user_id") or (known.cloud.alt_user if known else "")
    users = []
    for who, name in (("", first), ("alt_", second)):
        if name and identity.get(f"{who}password"):
            options = {option: identity.get(f"{who}{option}") for option in ("password", "project_name", "project_id")}
            users.append({"username": name, **options})
    return users


def _by_size(needs: Counter[Accounts]) -> Counter[int]:
    found: Counter[int] = Counter()
    for kinds, count in needs.items():
        found[len(kinds)] += count
    return found


def _reseller_role(conf: Conf) -> str:
    """Return the role that was set for reseller administrators; empty: it is the usual one."""
    return str(conf.get("object-storage", {}).get("reseller_admin_role") or "")


def _special(needs: Counter[Accounts], accounts: Sequence[Mapping[str, Any]], reseller_role: str) -> Counter[str]:
    """Return what no account is, and how many tests need it."""
    found: Counter[str] = Counter()
    for kinds, count in needs.items():
        for kind in {one.partition(":")[0] for one in kinds} & set(_SPECIAL):
            name, role, type_name = _SPECIAL[kind]
            role = reseller_role if kind == "reseller" and reseller_role else role
            if not any(_has_role(one, role) or type_name in one.get("types", ()) for one in accounts):
                found[name] += count
    return found


def _has_role(account: Mapping[str, Any], role: str) -> bool:
    """Return whether an account states a role; as for Keystone and Tempest, case does not matter."""
    return role.lower() in (str(one).lower() for one in account.get("roles", ()))


def _phrases(lacking: Sequence[tuple[int, str]], total: int) -> str:
    """Return as ``231 of 278 tests need two accounts and 2 need an account with ResellerAdmin``."""
    (count, what), *rest = lacking
    first = f"{count} of {total} test{'' if total == 1 else 's'} need{'s' if count == 1 else ''} {what}"
    return " and ".join([first, *(f"{number} need{'s' if number == 1 else ''} {name}" for number, name in rest)])


def _accounts_word(count: int) -> str:
    number = _NUMBERS[count] if count < len(_NUMBERS) else str(count)
    return f"{number} account{'' if count == 1 else 's'}"
