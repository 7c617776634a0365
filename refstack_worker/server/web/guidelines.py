"""The page that lists guidelines and their programs."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from flask import make_response, redirect, request

from refstack_worker.contract.text_files import decode_leniently
from refstack_worker.errors import StateError, UsageError
from refstack_worker.server.domain import guideline_file
from refstack_worker.server.domain.guidelines import KINDS, OFFICIAL, Guideline, StoredGuideline
from refstack_worker.server.services import tempest_tests
from refstack_worker.server.services.inputs.checks import FieldError, invalid
from refstack_worker.server.services.proposed_version import offered_to
from refstack_worker.server.serving.context import context
from refstack_worker.server.web.forms import errors_of
from refstack_worker.server.web.pages import Answer, caller, form, page, scope, show, typed


@dataclass(frozen=True)
class ProgramRow:
    """What the pages say of a program."""

    name: str
    description: str
    tests: int
    capabilities: int


@page("GET", "/guidelines")
def list_guidelines() -> Answer:
    """List guidelines with their programs."""
    return _page({}, ())


@form("/guidelines")
def show_form(kept: Mapping[str, str], errors: tuple[FieldError, ...]) -> Answer:
    """Show the form with what was typed."""
    return _page(kept, errors)


@page("POST", "/guidelines")
def add_guideline() -> Answer:
    """Add one: a file, or a URL."""
    file = request.files.get("file")
    given = decode_leniently(file.read(guideline_file.MAX_BYTES + 1)) if file else ""
    url = request.form.get("url", "").strip()
    try:
        if bool(given) == bool(url):
            raise invalid("file", "Choose a file or enter a URL.")
        context().guidelines.add(caller(), given, url)
    except (UsageError, StateError) as error:
        return make_response(_page(typed(), errors_of(error, {"text": "file", "guideline": "file"})), 400)
    return redirect("/guidelines", 303)


@page("GET", "/guidelines/<int:guideline_id>")
def show_guideline(guideline_id: int) -> Answer:
    """Show the capabilities and tests of a guideline's programs."""
    stored, found = context().ledger.guidelines.get(guideline_id, scope())
    is_own = caller().is_operator or stored.origin != OFFICIAL
    return show("guideline.html", stored=stored, guideline=found, kinds=KINDS, may_delete=is_own)


@page("POST", "/guidelines/<int:guideline_id>/delete")
def delete_guideline(guideline_id: int) -> Answer:
    """Delete a guideline; the verdicts that it gave stay."""
    context().guidelines.delete(caller(), guideline_id)
    return redirect("/guidelines", 303)


def programs_of(stored: StoredGuideline) -> tuple[ProgramRow, ...]:
    """Return the programs of a guideline; each file is read once by a process, however often pages show it.

    None, if the file was stored by an older version and is refused by this one: its own page says why.
    """
    return _programs(stored.id, stored.digest)


def proposed(stored: StoredGuideline, program: str, offered: frozenset[str]) -> str:
    """Return the Tempest version that fits a program, of those that nodes offer; empty: none is known."""
    return _proposed(stored.id, stored.digest, program, offered)


@functools.lru_cache(maxsize=500)
def _programs(guideline_id: int, digest: str) -> tuple[ProgramRow, ...]:
    try:
        programs = _guideline(guideline_id, digest).programs.values()
    except UsageError:
        return ()
    return tuple(
        ProgramRow(one.name, one.description, len(list(one.tests())), len(one.capabilities["required"]))
        for one in programs
    )


@functools.lru_cache(maxsize=2000)
def _proposed(guideline_id: int, digest: str, program: str, offered: frozenset[str]) -> str:
    guideline = _guideline(guideline_id, digest)
    tests = tuple(guideline.program(program).tests())
    return tempest_tests.proposal(guideline, tests, offered_to(tests, offered)).version


@functools.lru_cache(maxsize=4)  # Few: a parsed guideline takes some megabytes, and vendors store their own
def _guideline(guideline_id: int, _digest: str) -> Guideline:
    return context().ledger.guidelines.get(guideline_id, None)[1]


def _page(kept: Mapping[str, str], errors: tuple[FieldError, ...]) -> str:
    shown = [(stored, programs_of(stored)) for stored in context().ledger.guidelines.all(scope())]
    return show(
        "guidelines.html",
        guidelines=shown,
        form=kept,
        errors={one.field: one.message for one in errors},
        allowed=context().settings.outbound.list_urls,
    )
