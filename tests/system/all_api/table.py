"""The page about a long run, as the command writes it."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.system.all_api.kept import STATUSES, KeptResult
from tests.system.all_api.long_run import LongRun

HEAD = """\
# All API tests through the queue

{tests} tests of Tempest {tempest} below `tempest.api`, run through the queue with the address and the administrator of
the cloud alone ([democloud](../democloud.md)). This page is written by the command below. Don't edit it.

    {command}

{date}, Python {python}, {cores} cores, load {load} before the run. **{verdict}**

"""
MAX_REASON = 160


@dataclass(frozen=True)
class About:
    """How the run was made."""

    command: str
    tempest: str
    load: Sequence[float]
    """Of the machine, before the run."""
    left: Sequence[str] = ()
    """What the tests left in the cloud."""
    removed: str = ""
    """The output of a clean-up by the run's record."""


def differences(run: LongRun, kept: KeptResult) -> list[str]:
    """Return where the console, read while the tests ran, and the accepted result disagree."""
    if run.dropped:
        return [f"{run.dropped} lines of the console were dropped"]
    listed = {test["name"].partition("[")[0]: test["status"] for test in kept.tests}
    # a class that could not be set up is one line of the console, and answers for all its tests
    groups = {name.partition("(")[2].rstrip(")"): status for name, status in run.shown.items() if "(" in name}
    shown = {name: run.shown.get(name) or groups.get(name.rpartition(".")[0]) for name in listed}
    shown |= {name: status for name, status in run.shown.items() if "(" not in name}
    differ = sorted(name for name in shown if listed.get(name) != shown[name])
    return [f"{name}: {shown[name]} in the console, {listed.get(name)} in the result" for name in differ]


def page(run: LongRun, kept: KeptResult, by_hand: Mapping[str, str], wrong: Sequence[str], about: About) -> str:
    """Return the page."""
    head = HEAD.format(
        tests=len(kept.tests), tempest=about.tempest, command=about.command, date=datetime.date.today().isoformat(),
        python=platform.python_version(), cores=os.cpu_count(), load=" ".join(f"{each:.1f}" for each in about.load),
        verdict="Nothing contradicts." if not wrong else f"{len(wrong)} things are wrong.",
    )  # fmt: skip
    lines = [head.rstrip(), "", *_figures(run, kept, about), "", *_areas(kept), "", *_forms(kept)]
    if wrong:
        lines += ["", "What is wrong:", "", *(f"- {one}" for one in wrong)]
    return "\n".join([*lines, *_failed(kept, by_hand)])


def _figures(run: LongRun, kept: KeptResult, about: About) -> list[str]:
    memory = ", ".join(f"{part} {size}" for part, size in run.memory.items())
    required = kept.verdict.get("required", {})
    rows = {
        "trigger to accepted result": f"{run.seconds:.0f} s; the first test had ended after {run.first_test:.0f} s",
        "console, read while it ran": f"{sum(run.console.values())} lines, of them {run.console['request']} requests",
        "slowest answer of the API about the run": f"{run.slowest:.2f} s",
        "most memory, MiB (PSS)": memory,
        "left in the cloud by the tests": ", ".join(about.left) or "nothing",
        "`execute_test --cleanup-only` with the run's record": about.removed,
        "required tests of 2020.06 Platform": f"{required['passed']} of {required['total']}" if required else "",
    }
    return ["| what | figure |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items() if text)]


def _areas(kept: KeptResult) -> list[str]:
    rows = [f"| `tempest.api` | {' | '.join(STATUSES)} |", f"|---|{'---|' * len(STATUSES)}"]
    areas = kept.of_areas()
    for area, counts in areas.items():
        rows.append(f"| {area} | {' | '.join(str(counts[status]) for status in STATUSES)} |")
    sums = [str(sum(counts[status] for counts in areas.values())) for status in STATUSES]
    return [*rows, f"| all | {' | '.join(sums)} |"]


def _forms(kept: KeptResult) -> list[str]:
    rows = ["| export or page | KiB | seconds |", "|---|---|---|"]
    for name, (size, seconds) in {**kept.exports, **kept.pages}.items():
        rows.append(f"| {name} | {max(1, size // 1024)} | {seconds:.1f} |")
    return rows


def _failed(kept: KeptResult, by_hand: Mapping[str, str]) -> list[str]:
    failed = [test for test in kept.tests if test["status"] == "failed"]
    if not failed:
        return ["", "No test failed."]
    rows = ["", "What failed, and how it ended when plain Tempest ran it with a `tempest.conf` written by hand:", "",
            "| test | last line | by hand |", "|---|---|---|"]  # fmt: skip
    for test in failed:
        name = test["name"].partition("[")[0]
        reason = " ".join((test.get("reason") or "").strip().splitlines()[-1:])[:MAX_REASON].replace("|", "\\|")
        rows.append(f"| {name.removeprefix('tempest.api.')} | {reason} | {by_hand.get(name, 'not run')} |")
    return rows
