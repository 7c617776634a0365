"""Links that need no sign-in: who can create them, and where they lead."""

from __future__ import annotations

from refstack_worker.contract.scopes import OPERATOR, READ
from refstack_worker.errors import NotFoundError, UsageError
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.domain.guidelines import OFFICIAL, StoredGuideline
from refstack_worker.server.domain.links import Link
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services import access
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.inputs.checks import invalid

DEFAULT_DAYS = 30
MAX_DAYS = 365
MAX_LINKS = 50
"""Of one run or one cloud."""
SHOWN_VERDICTS = 20
"""In a feed."""
MAX_KNOWN = 1000
"""Guidelines whose programs are remembered."""
_PROGRAMS: dict[tuple[str, str], tuple[str, ...]] = {}


def link_to_run(ledger: Ledger, caller: Caller, test_id: int, days: int = DEFAULT_DAYS) -> tuple[Link, str]:
    """Make a link, with its secret, to the report of the caller's run. :raises NotFoundError: there is no result."""
    caller.need_writer()
    access.owned_run(ledger, caller, test_id)
    ledger.results.get(test_id)
    _check_number(len(ledger.links.of_run(test_id)), "days")
    expires = ledger.clock() + days * 86400
    return ledger.links.add(Link(0, test_id, None, created_by=caller.name, expires_at=expires))


def link_to_cloud(ledger: Ledger, caller: Caller, cloud_id: int, program: str) -> tuple[Link, str]:
    """Make a link to badge and feed of one's own cloud and a program, with its secret."""
    caller.need_writer()
    access.visible_cloud(ledger, caller, cloud_id)
    known = {
        one
        for stored in ledger.guidelines.all(access.scope_of(ledger, caller))
        # without a sign-in, no one sees whose file it was
        if stored.origin == OFFICIAL
        for one in _programs(ledger, stored)
    }
    named = [one for one in sorted(known) if one == program] or [one for one in sorted(known) if one.endswith(program)]
    if not program or len(named) != 1:
        raise invalid("program", f"must be one of: {', '.join(sorted(known)) or 'none; add a guideline first'}")
    _check_number(len(ledger.links.of_cloud(cloud_id)), "program")
    return ledger.links.add(Link(0, None, cloud_id, named[0], caller.name))


def remove_link(ledger: Ledger, caller: Caller, links: list[Link], link_id: int) -> None:
    """Remove one of these links. :raises NotFoundError: it is not among them."""
    caller.need_writer()
    found = next((one for one in links if one.id == link_id), None)
    if found is None:
        raise NotFoundError(f"there is no link {link_id}")
    ledger.links.remove(found)


def reader_of(ledger: Ledger, link: Link) -> Caller:
    """Return the caller that a link represents: it can only read, and only what the link leads to.

    What its readers hold counts for the owner of the run, who could make any number of links for this.
    """
    owner = ledger.runs.get(link.test_id).owner_id if link.test_id is not None else None
    return Caller(Token(-link.id, "shared link", (OPERATOR, READ), owner))


def _programs(ledger: Ledger, stored: StoredGuideline) -> tuple[str, ...]:
    """Return the names of an official guideline's programs; each file is read once by a process."""
    key = (stored.name, stored.digest)
    if key not in _PROGRAMS:
        if len(_PROGRAMS) >= MAX_KNOWN:
            _PROGRAMS.clear()
        try:
            _PROGRAMS[key] = tuple(ledger.guidelines.get(stored.id, None)[1].programs)
        except UsageError:  # stored by an older version, and refused by this one
            _PROGRAMS[key] = ()
    return _PROGRAMS[key]


def _check_number(count: int, field: str) -> None:
    if count >= MAX_LINKS:
        raise invalid(field, f"there are {count} links; delete one first")
