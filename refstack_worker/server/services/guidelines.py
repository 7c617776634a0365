"""What users do with guidelines: add, remove, choose a program of one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract.testcases import Testcases
from refstack_worker.contract.text_files import decode_leniently
from refstack_worker.errors import NotFoundError, StateError
from refstack_worker.http import guard
from refstack_worker.server.domain.guidelines import ADVISORY, OFFICIAL, REQUIRED, Choice, Program, StoredGuideline
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services import access
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.exclusions import API_TESTS, Exclusions
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.lists import check_url
from refstack_worker.server.services.inputs.schema import fields, string
from refstack_worker.server.services.turns import Turns

MAX_OF_VENDOR = 20
"""Guidelines that the users of one vendor may have on offer."""
MAX_OWN = 1024 * 1024
"""Characters of a vendor's own guideline: every run that names it reads it again."""
MAX_STORED = 200
"""The same with those that were deleted, and are kept because runs were judged by them."""
TURNS = Turns(3, 1, "Another guideline of yours is being fetched. Try again in a moment.")
NEW_GUIDELINE = fields(
    text=string(description="The guideline file"),
    url=string(2048, description="URL to fetch it from; the operator must allow it"),
    name=string(60, description="Replaces the name in the file"),
)


@dataclass(frozen=True)
class GuidelineService:
    """The users' side of guidelines."""

    ledger: Ledger

    def add(self, caller: Caller, text: str, url: str, name: str = "") -> StoredGuideline:
        """Keep a guideline, given as text or fetched from where the operator allows it. An operator's is official.

        :param name: takes the place of the name in the file, where upstream wrote a wrong one.
        """
        caller.need_writer()
        if not caller.is_operator:
            self._check_quota(caller)
        if bool(text) == bool(url):
            raise invalid("text", "give either text or url")
        if url:
            text = self._fetched(caller, url)
        if not caller.is_operator and len(text) > MAX_OWN:
            raise invalid("text", f"is larger than {MAX_OWN} characters; published guidelines have about 150,000")
        owner = None if caller.is_operator else caller.token.user_id
        return self.ledger.guidelines.add(text, StoredGuideline(0, name, "", url, caller.name, owner))

    def delete(self, caller: Caller, guideline_id: int) -> None:
        """Remove a guideline; an operator's only by an operator."""
        caller.need_writer()
        stored = self.ledger.guidelines.known(guideline_id, access.scope_of(self.ledger, caller))
        if stored.origin == OFFICIAL:
            caller.need_operator()
        self.ledger.guidelines.delete(guideline_id)

    def chosen(
        self, caller: Caller, given: Mapping[str, Any] | None, excluded: Exclusions
    ) -> tuple[Choice | None, Testcases | None]:
        """Return the program that a new run is asked for by, and its tests; nothing where none is given.

        :raises InvalidInput: there is no such program, or it has no such tests: all of Tempest's would run.
        """
        if given is None:
            return None, None
        requested: int | str = given.get("id") or given.get("name", "")
        choice, program = self._program(caller, requested, given["program"], "guideline")
        need_tests(program, given)
        kinds = (REQUIRED, ADVISORY) if given.get("advisory") else (REQUIRED,)
        left_out = excluded.left_out(program)
        asked = (test for test in program.tests(kinds) if test.name not in left_out)
        entries = tuple(dict.fromkeys(entry for test in asked for entry in test.entries))
        if given.get("tests") == "api":
            others = tuple(entry for entry in entries if not re.match(API_TESTS, entry))
            testcases = Testcases(others, (API_TESTS,))
        else:
            testcases = Testcases(entries)
        return Choice(choice.guideline_id, choice.program, bool(given.get("advisory")), left_out), testcases

    def choice(self, caller: Caller, guideline: str, program: str) -> Choice:
        """Return a program by the names of guideline and program."""
        return self._program(caller, guideline, program, "guideline")[0]

    def _program(self, caller: Caller, requested: int | str, name: str, field: str) -> tuple[Choice, Program]:
        try:
            stored, guideline = self.ledger.guidelines.get(requested, access.scope_of(self.ledger, caller))
            program = guideline.program(name)
        except NotFoundError as error:
            raise invalid(field, str(error)) from None
        return Choice(stored.id, program.name), program

    def _check_quota(self, caller: Caller) -> None:
        scope = access.scope_of(self.ledger, caller)
        offered, stored = self.ledger.guidelines.count_of(scope.owner_ids if scope else ())
        if offered >= MAX_OF_VENDOR:
            raise StateError(f"Your vendor has {offered} guidelines already. Delete one first.")
        if stored >= MAX_STORED:
            raise StateError(
                f"Your vendor has {stored} guidelines, including deleted ones that runs were evaluated against. "
                "Delete those runs first."
            )

    def _fetched(self, caller: Caller, url: str) -> str:
        outbound = self.ledger.settings.outbound
        check_url(outbound.list_urls, url, "url")
        with TURNS.turn(caller.token.account):
            answer = guard.ask_guarded(guard.GuardedRequest(url), guard.OutboundGuard(outbound.cloud_networks))
        if answer.status != 200:
            raise invalid("url", f"{url}: response {answer.status}; the address of the file itself is needed")
        return decode_leniently(answer.body)


def need_tests(program: Program, given: Mapping[str, Any]) -> None:
    """Refuse a run by a program that has none of the tests that are asked for. :raises InvalidInput: it has none."""
    kinds = (REQUIRED, ADVISORY) if given.get("advisory") else (REQUIRED,)
    if given.get("tests") == "api" or next(program.tests(kinds), None) is not None:
        return
    has_advisory = next(program.tests((ADVISORY,)), None) is not None
    what, hint = " or ".join(kinds), "; ask for its advisory tests, too" if has_advisory else ""
    raise invalid("guideline", f"{program.name} has no {what} tests{hint}")
