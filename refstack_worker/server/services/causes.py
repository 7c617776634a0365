"""Why tests failed: failures grouped by the last line of their traceback, and what probably fixes each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from refstack_worker.contract.outcomes import SKIPPED
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.domain.verdict import MISSING, JudgedTest

MAX_LINE = 300


@dataclass(frozen=True)
class Fix:
    """What probably helps against failures whose last line has a pattern."""

    pattern: str
    advice: str


FIXES = (
    Fix(
        r"Insufficient number of users|[Nn]o (?:admin |alt )?credentials|InvalidTestCredentials",
        "Add a second user or an administrator to the cloud: these tests need more accounts.",
    ),
    Fix(r"Unauthorized|\b401\b|Could not authenticate", "Check the user's name, password and domain."),
    Fix(
        r"Forbidden|\b403\b|[Nn]ot authorized|[Pp]olicy doesn't allow|disallowed by policy",
        "Give the test user the role that the service's policy asks for, or add an administrator.",
    ),
    Fix(
        r'No "[^"]*" role found',
        "Create this role in the cloud, or correct the option with its name in the cloud's Tempest options.",
    ),
    Fix(
        r"EndpointNotFound|ndpoint.*not (?:be )?found|not in (?:the )?(?:service )?catalog",
        "The service is not in the catalogue of this region: check the region, or leave these tests out.",
    ),
    Fix(r"OverLimit|[Qq]uota|\b413\b", "Raise the project's quota, or use fewer test processes."),
    Fix(
        r"NoValidHost|No valid host",
        "No compute host had room: use a smaller flavor or free capacity.",
    ),
    Fix(
        r"image_ref|flavor_ref|Image \S+ could not be found|Flavor \S+ could not be found",
        "Set compute.image_ref and compute.flavor_ref in the cloud's Tempest options.",
    ),
    Fix(
        r"public_network_id|External network|floating_network",
        "Set network.public_network_id in the cloud's Tempest options.",
    ),
    Fix(
        r"SSLError|CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "The cloud's certificate is not trusted: use one of a public authority, or ask the operator to trust yours.",
    ),
    Fix(
        r"ConnectionError|Connection refused|Max retries exceeded|NewConnectionError|Name or service not known",
        "A service in the catalogue cannot be reached from the node: check its public endpoint.",
    ),
    Fix(
        r"[Tt]imeoutException|[Tt]imed out|within the required time",
        "The cloud was too slow: raise the service's timeout in the Tempest options, or use fewer test processes.",
    ),
    Fix(r"ServerFault|[Ii]nternal ?[Ss]erver|\b50[0234]\b", "The cloud answered with a server error: see its logs."),
    Fix(r"process was killed or died", "Tempest's process ended: the node ran out of memory or time."),
)
"""The first whose pattern matches is shown. To teach it a cause, add a row and a test."""

UNMET_FIXES = (
    Fix(r"^left out: ", "The run left these tests out: run the whole program."),
    Fix(
        r"account|credential|\buser|\brole\b",
        "Add accounts or an administrator to the cloud: a skipped test counts as a failed one.",
    ),
    Fix(
        r"not enabled|not available|not supported|disabled|extension|catalogue|[Mm]issing",
        "Offer this in the cloud, or correct the cloud's Tempest options: a skipped test counts as a failed one.",
    ),
)
"""The same for required tests that were skipped or did not run."""

_ERROR = re.compile(r"(?:\w+\.)+\w+(?::|$)")
_DETAILS = re.compile(r"Details: (?!b?['\"{\[<]|\d+$)(.+)")
"""Words of Tempest itself; what it quotes of a response is bytes, JSON, HTML or a number."""
_VARIABLE = (
    (re.compile(r"\breq-[0-9a-f-]{36}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{32}\b"), "ID"),
    (re.compile(r"https?://[^\s'\"<>]+"), "URL"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "ADDRESS"),
    (re.compile(r"\b(?:tempest|refstack)-[\w-]*\d{4,}[\w-]*"), "NAME"),
    (re.compile(r"0x[0-9a-f]+|\b\d+(?:\.\d+)?\b"), "N"),
)
"""What differs from one failure of the same cause to the next."""


@dataclass(frozen=True)
class Cause:
    line: str
    """The last line of the first one."""
    fix: str
    """What probably helps; empty: not known."""
    tests: tuple[TestResult, ...]


def causes(failed: Iterable[TestResult]) -> list[Cause]:
    """Return failures by cause, the most frequent first."""
    groups: dict[str, list[TestResult]] = {}
    for test in failed:
        groups.setdefault(signature(last_line(test.reason)), []).append(test)
    found = [_cause(tests) for tests in groups.values()]
    return sorted(found, key=lambda cause: (-len(cause.tests), cause.line))


@dataclass(frozen=True)
class Unmet:
    """Required tests that neither passed nor failed, for one reason."""

    count: int
    what: str
    """``skipped`` or ``not run``."""
    line: str
    """The reason as the first one has it; empty: none was recorded."""
    fix: str


def unmet(judged: Iterable[JudgedTest]) -> list[Unmet]:
    """Return required tests that were skipped or did not run, by reason, the most frequent first."""
    groups: dict[tuple[str, str], list[JudgedTest]] = {}
    for test in judged:
        if test.status in (SKIPPED, MISSING):
            groups.setdefault((test.status, signature(test.reason)), []).append(test)
    found = [_unmet(status, tests) for (status, _line), tests in groups.items()]
    return sorted(found, key=lambda one: (-one.count, one.line))


def _unmet(status: str, tests: list[JudgedTest]) -> Unmet:
    line = tests[0].reason
    known = next((fix.advice for fix in UNMET_FIXES if re.search(fix.pattern, line)), "")
    advice = {SKIPPED: "A skipped test counts as a failed one.", MISSING: "Run the whole program."}[status]
    return Unmet(len(tests), "skipped" if status == SKIPPED else "not run", line, known or advice)


def last_line(reason: str) -> str:
    """Return the line of a traceback that names the error, with Tempest's own details.

    What a REST error quotes of a response is left out.
    """
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    named = [place for place, line in enumerate(lines) if _ERROR.match(line)]
    if not named:
        return (lines or ["no reason was recorded"])[-1][:MAX_LINE]
    following = lines[named[-1] + 1] if lines[named[-1] + 1 :] else ""
    details = _DETAILS.match(following)
    return (lines[named[-1]] + (f": {details[1]}" if details else ""))[:MAX_LINE]


def signature(line: str) -> str:
    """Return a line without ids, addresses and numbers."""
    for pattern, stand_in in _VARIABLE:
        line = pattern.sub(stand_in, line)
    return line


def fix_of(line: str) -> str:
    """Return what probably helps; empty: not known."""
    return next((fix.advice for fix in FIXES if re.search(fix.pattern, line)), "")


def _cause(tests: list[TestResult]) -> Cause:
    line = last_line(tests[0].reason)
    return Cause(line, fix_of(line), tuple(tests))
