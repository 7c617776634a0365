"""What the selected tests need of prepared accounts, in words, and what follows from it for the run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from refstack_worker.contract.execute_test import NOTHING_WITH_ACCOUNTS
from refstack_worker.contract.outcomes import class_of
from refstack_worker.execute_test.failures import BadInput
from refstack_worker.execute_test.tempest.accounts.plan import AccountPlan, can_be_grouped
from refstack_worker.execute_test.tempest.accounts.rehearsal import AccountsTrial, Rehearsed
from refstack_worker.execute_test.tempest.listing import TestListing

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
Accounts = Sequence[Mapping[str, Any]]


def ways_to_list(accounts: Accounts, reseller_role: str) -> list[list[Mapping[str, Any]]]:
    """Return the accounts as they are, and with those that are rare kept for what only they can do.

    Tempest hands out the first account that will do. So a rare account comes last, and where its other roles are left
    out of the list, no test takes it that could have another one.
    """
    rare = [one for one in accounts if _is_reseller(one, reseller_role)]
    others = [one for one in accounts if not _is_reseller(one, reseller_role)]
    if not rare or not others:
        return [list(accounts)]
    kept = [{**one, "roles": [reseller_role], "types": []} for one in rare]
    return [[*others, *rare], [*others, *kept]]


def _is_reseller(account: Mapping[str, Any], role: str) -> bool:
    return role in (account.get("roles") or ()) or "reseller_admin" in (account.get("types") or ())


def better_trial(trials: Sequence[AccountsTrial], needs: Mapping[str, str]) -> int:
    """Return which way to list the accounts lets more tests run or, with as many, takes less time."""
    weights = Counter(needs.values())

    def rank(at: int) -> tuple[int, float, int]:
        return sum(weights[need] for need in trials[at].lacking), trials[at].cost, at

    return min(range(len(trials)), key=rank)


def plan_accounts(
    names: Sequence[str], listing: TestListing, rehearsed: Rehearsed, trial: AccountsTrial, accounts: Accounts
) -> AccountPlan:
    """Return what the accounts are enough for.

    :param names: the selected tests.
    :raises BadInput: none of the tests could run.
    """
    left_out = {name: _reason(need, trial, accounts) for name, need in rehearsed.needs.items() if need in trial.lacking}
    for name, (why, wants_admin) in rehearsed.skips.items():
        if wants_admin:
            left_out[name] = f"Tempest itself skips this test without an administrator (dynamic credentials): {why}"
    summary = summary_of(names, rehearsed, trial, accounts)
    if names and len(left_out) + len(rehearsed.skips.keys() - left_out.keys()) >= len(names):
        raise BadInput(f"{NOTHING_WITH_ACCOUNTS}: {summary}")
    classes = tuple(sorted({class_of(name) for name, need in rehearsed.needs.items() if need in trial.serial}))
    processes = trial.processes if not classes or can_be_grouped(classes) else 1
    return AccountPlan(listing, processes, classes if processes > 1 else (), left_out, summary)


def summary_of(names: Sequence[str], rehearsed: Rehearsed, trial: AccountsTrial, accounts: Accounts) -> str:
    """Return what the tests need, what was given, and how many tests cannot run, as one sentence.

    Empty where Tempest skips all of them before it asks for an account.
    """
    needs = list(rehearsed.needs.values())
    dynamic = sum(wants_admin for _, wants_admin in rehearsed.skips.values())
    if not needs and not dynamic:
        return ""
    sizes = Counter(len(json.loads(need)) for need in needs)
    found = [(sizes[size], f"{_accounts(size)} at a time") for size in sorted(sizes, reverse=True) if size > 1]
    found += [(count, f"an account with the role {role}")
              for role, count in sorted(_roles_nobody_has(rehearsed, trial, accounts).items())]  # fmt: skip
    found.append((sum(_needs_same_project(need, trial, accounts) for need in needs),
                  "users with the roles member and reader in the same project"))  # fmt: skip
    found.append((dynamic, "an administrator (dynamic credentials)"))
    parts = [f"{count} {'needs' if count == 1 else 'need'} {what}" for count, what in found if count]
    needed = ", ".join(parts) or "each needs one account"
    given = f"of {len(names)} tests, {needed}; this run has {_accounts(len(accounts))}{_roles_of(accounts)}"
    lacking = sum(need in trial.lacking for need in needs) + dynamic
    skipped = f"{lacking} tests cannot run and are skipped" if lacking > 1 else "1 test cannot run and is skipped"
    return f"{given}; {skipped}" if lacking else given


def _reason(need: str, trial: AccountsTrial, accounts: Accounts) -> str:
    size = len(json.loads(need))
    together = " of the same project" if _needs_same_project(need, trial, accounts) else ""
    at_a_time = " at a time" if size > 1 else ""
    needed = f"{_accounts(size)}{_roles_in_words(_roles_needed(need, trial))}{together}{at_a_time}"
    said = " ".join(trial.lacking[need].rpartition("Details:")[2].split())
    return (f"not run: the test needs {needed}, and the run has {_accounts(len(accounts))}{_roles_of(accounts)}; "
            f"Tempest: {said}")  # fmt: skip


def _roles_needed(need: str, trial: AccountsTrial) -> list[Sequence[str]]:
    """Return the roles of each account: those that a class names, else those that Tempest asked for."""
    asked = [*trial.roles.get(need, ())]
    kinds = json.loads(need)
    return [
        kind[1:] if isinstance(kind, list) else asked[at] if at < len(asked) else () for at, kind in enumerate(kinds)
    ]


def _roles_in_words(roles: Sequence[Sequence[str]]) -> str:
    named = [" and ".join(one) for one in roles if one]
    return f" (roles: {', '.join(named)})" if named else ""


def _roles_of(accounts: Accounts) -> str:
    roles = sorted({str(role) for one in accounts for role in one.get("roles") or ()})
    return f" (roles: {', '.join(roles)})" if roles else ""


def _roles_nobody_has(rehearsed: Rehearsed, trial: AccountsTrial, accounts: Accounts) -> Counter[str]:
    """Return role → how many tests need it, of the roles that no account has."""
    had = {str(role) for one in accounts for role in one.get("roles") or ()}
    found: Counter[str] = Counter()
    for need in rehearsed.needs.values():
        if need in trial.lacking:
            found.update({role for roles in _roles_needed(need, trial) for role in roles} - had)
    return found


def _needs_same_project(need: str, trial: AccountsTrial, accounts: Accounts) -> bool:
    """Return whether there are enough accounts for a need that is not served: they are in different projects."""
    kinds = json.loads(need)
    is_of_project = any(isinstance(kind, str) and kind.startswith("project_") for kind in kinds)
    return need in trial.lacking and is_of_project and len(accounts) >= len(kinds)


def _accounts(count: int) -> str:
    number = _NUMBERS[count] if count < len(_NUMBERS) else str(count)
    return f"{number} account{'' if count == 1 else 's'}"
