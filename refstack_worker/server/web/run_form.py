"""The form for a new run: what it asks for, as the API would be asked."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from flask import request

from refstack_worker.contract import text_lists
from refstack_worker.contract.text_files import lines_of
from refstack_worker.errors import UsageError
from refstack_worker.server.services.inputs.checks import FieldError, check, invalid
from refstack_worker.server.services.inputs.run_input import NEW_RUN
from refstack_worker.server.services.preflight import Findings
from refstack_worker.server.services.proposed_version import offered
from refstack_worker.server.serving.context import context
from refstack_worker.server.web.forms import (
    accounts_text,
    number_or_text,
    options_of,
    passwords,
    stripped,
    whole_number,
)
from refstack_worker.server.web.guidelines import programs_of, proposed
from refstack_worker.server.web.pages import form, scope, show

OTHER_CLOUD = "other"
MAX_REASON = 200
"""Characters of why a test is left out."""
NAMES = {
    "tempest_version": "version",
    "openstack_release": "version",
    "testcases": "tests",
    "guideline": "program",
    "conf_json": "options",
    "timeout": "timeout",
}
"""Fields of the API that the form calls otherwise."""


@form("/runs/new")
def show_run_form(kept: Mapping[str, str], errors: tuple[FieldError, ...]) -> str:
    """Show the form with what was typed, and what is wrong with it."""
    return show_findings(kept, errors, None)


def show_findings(kept: Mapping[str, str], errors: tuple[FieldError, ...], findings: Findings | None) -> str:
    """Show the form with what was typed, and what the run would lack."""
    ledger = context().ledger
    there = frozenset(offered(ledger))
    programs = [
        (f"{stored.id}:{program.name}", stored.name, program.name, program.tests, proposed(stored, program.name, there))
        for stored in ledger.guidelines.all(scope())
        for program in programs_of(stored)
    ]
    versions = sorted(
        {version.partition(",")[0] for node in ledger.nodes.all() for version in node.versions},
        key=_order,
        reverse=True,
    )
    return show(
        "new_run.html",
        clouds=ledger.clouds.all(scope()),
        programs=programs,
        versions=versions,
        form=kept,
        errors={one.field: one.message for one in errors},
        cloud_id=kept.get("cloud_id", request.args.get("cloud", "")),
        request_key=kept.get("request_key") or secrets.token_urlsafe(16),
        warnings=findings.warnings if findings else (),
        outlook=findings.outlook if findings else "",
    )


def body_of(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the body of the API's call that a form asks for. :raises InvalidInput: a field makes no sense."""
    body: dict[str, Any] = {**stripped(given, "label", "tag", "discover"), "conf_json": _conf(given)}
    version = given.get("version", "").strip()
    if version:
        body["openstack_release" if given.get("by") == "release" else "tempest_version"] = version
    elif given.get("what") != "guideline":
        raise invalid("version", "Enter a Tempest version or an OpenStack release.")
    if accounts := accounts_text(given, request.files):
        body["accounts"] = accounts
    cloud = given.get("cloud_id", "")
    if cloud != OTHER_CLOUD:
        body["cloud_id"] = number_or_text(cloud) if cloud else None
    if plugins := _plugins(given.get("plugins", "")):
        body["plugins"] = plugins
    body.update(_chosen(given))
    if excluded := _excluded(given.get("exclude", "")):
        body["exclude"] = excluded
    for name, factor in (("concurrency", 1), ("timeout", 60), ("priority", 1), ("shards", 1)):
        if given.get(name, "").strip():
            value = number_or_text(given[name].strip())
            body[name] = value * factor if isinstance(value, int) else value
    check(NEW_RUN, body)
    return body


def _conf(given: Mapping[str, str]) -> dict[str, Any]:
    found = options_of(given)
    for section, values in passwords(given).items():
        found.setdefault(section, {}).update(values)
    return found


def _chosen(given: Mapping[str, str]) -> dict[str, Any]:
    what = given.get("what", "all")
    if what == "guideline":
        number, _, program = given.get("program", "").partition(":")
        if not program:
            raise invalid("program", "Choose a program.")
        more = {"tests": "api"} if given.get("all_api") == "yes" else {}
        advisory = given.get("advisory") == "yes"
        return {"guideline": {"id": number_or_text(number), "program": program, "advisory": advisory, **more}}
    if what in ("names", "regexes"):
        lines = _lines(given.get("tests", ""), what)
        if not lines:
            raise invalid("tests", "Enter at least one test.")
        return {"testcases": {what: lines}}
    return {}


def _lines(text: str, what: str) -> list[str]:
    """Return the tests in a field: names as in a list file, expressions one a line as they are."""
    if what == "regexes":
        return [line.strip() for line in lines_of(text) if line.strip()]
    try:
        return [line.entry for line in text_lists.parse(text, "the list")]
    except UsageError as error:
        raise invalid("tests", str(error)) from None


def _plugins(text: str) -> dict[str, str]:
    found = {}
    for line in filter(str.strip, text.splitlines()):
        name, equals, version = (part.strip() for part in line.partition("=="))
        if not (name and equals and version):
            raise invalid("plugins", f"{line.strip()[:40]}: write NAME==VERSION, such as heat-tempest-plugin==2.0.0")
        found[name] = version
    return found


def _excluded(text: str) -> list[dict[str, str]]:
    try:
        lines = text_lists.parse(text, "the list")
    except UsageError as error:
        raise invalid("exclude", str(error)) from None
    return [{"test": line.entry, "reason": line.remark[:MAX_REASON]} for line in lines]


def _order(version: str) -> tuple[int, ...]:
    return tuple(whole_number(part) or 0 for part in version.split("."))
