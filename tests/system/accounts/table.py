"""The page with the comparison, as the command writes it."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence

from tests.system.accounts.comparison import Compared, trouble
from tests.system.accounts.outcomes import FAILED, NO_ACCOUNT, PASSED, SKIPPED
from tests.system.accounts.programs import Program

ABOUT_ACCOUNTS = ("this run has", "(instead of", "few accounts")
"""Words of the messages about what the accounts are enough for."""
HEAD = """\
# Vendors without an administrator: the required tests of a guideline

The {tests} required tests of guideline 2020.06, {program}, on {services} with Tempest
{tempest}: by `execute_test`, with no more than the address and the accounts, and by plain `tempest run` with a
`tempest.conf` written by hand for the same accounts. This page is written by the command below. Don't edit it.

    {command}

{date}, Python {python}, {cores} cores, load {load}. **{same} of {all} situations are the same test by test.**

"""
MEANING = """
*No account*: the test needs accounts that were not given. Plain Tempest fails or skips such a test; `execute_test` says
so before the run starts, leaves the test out and reports it as skipped with the reason. One of them is
`test_list_containers_with_marker`: Tempest 47 skips it itself without an administrator (bug#2147232).
"""


def page(program: Program, compared: Sequence[Compared], command: str, tempest: str) -> str:
    """Return the page."""
    same = sum(not one.different for one in compared)
    head = HEAD.format(tests=max(len(one.plain) for one in compared), program=program.name,
                       services=program.services, tempest=tempest, command=command, same=same,
                       all=len(compared), date=datetime.date.today().isoformat(), python=platform.python_version(),
                       cores=os.cpu_count(), load=" ".join(f"{each:.1f}" for each in os.getloadavg()))  # fmt: skip
    return "\n".join([head.rstrip(), "", *_rows(compared), MEANING.rstrip(), "", *_sentences(compared)])


def _rows(compared: Sequence[Compared]) -> list[str]:
    kinds = (PASSED, NO_ACCOUNT, SKIPPED, FAILED)
    rows = [f"| accounts | by | {' | '.join(kinds)} | differs | seconds |", f"|---|---|{'---|' * len(kinds)}---|---|"]
    for one in compared:
        for by, name, seconds in zip(("ours", "plain"), ("`execute_test`", "Tempest alone"), one.seconds):
            counts = " | ".join(str(one.count(by)[kind]) for kind in kinds)
            differs = ", ".join(trouble(one)) or "no" if by == "ours" else ""
            about = one.situation.about if by == "ours" else ""
            rows.append(f"| {about} | {name} | {counts} | {differs} | {seconds} |")
    return rows


def _sentences(compared: Sequence[Compared]) -> list[str]:
    said = ["What `execute_test` says before the tests start, and at the end:", ""]
    for one in compared:
        before = [text for text in one.messages if any(words in text for words in ABOUT_ACCOUNTS)]
        said.append(f"- {one.situation.about}: " + "; ".join([*before, one.message]))
    return said
