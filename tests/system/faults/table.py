"""The page with the matrix, as the command writes it."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable, Sequence

from tests.system.faults.cells import Outcome
from tests.system.faults.faults import FAULTS
from tests.system.faults.place import FACTOR, HEARTBEAT_LIMIT, OUTAGE, SILENCE
from tests.system.faults.steps import STEPS

HEAD = """\
# Faults

Whatever dies in the middle of a run: no run is lost, none is counted twice, and nothing is left behind. This page is
written by the command below, which injects each fault at each step of a run and then looks at the ledger, the disks,
the processes and the cloud. Don't edit it; run the command.

    {command}

{date}, {seconds}, {lanes}Python {python}: **{right} of {all} cells right.**

Everything is real: gearmand, PostgreSQL, `refstack-queue api` and `monitor`, `refstack-worker run` in a network
namespace of its own with a disk of its own, `execute_test`, Tempest 47.0.0 with two tests against a Keystone. A proxy
that can hold a request stands between node and API, another between the run and the cloud.

Limits are the product's defaults divided by {factor}: a worker is lost after {limit:g} s of silence in place of 60,
"ten minutes" are {outage:g} s, and a fault that lasts longer than the limit lasts {silence:g} s. Not divided are calls
(5 s), the grace between TERM and KILL, the leases of submitters (60 s), the growing pauses between a worker's tries,
and how often the monitor looks at the queue (5 s, for jobs older than 10 s). Heartbeats come every 0.5 s in place of 2,
and a cancel has 10 s in place of 60.
"""

MEANING = """\
A cell is right when all of this is true:

- the run is in the state that is right: `finished`, or `cancelled` at the step *cleaning*;
- it has one result, of its last attempt, with both tests counted once (none if it was cancelled);
- it took as many attempts as are right, none is open, its end was reported once, and no sealed password is kept;
- on the node there is no process but the worker, no folder, no note, nothing in the spool;
- no upload is left on the server, and the cloud's password stands in no file;
- Keystone has the users and projects that it had before, or the messages of the run tell the vendor what may be left;
- no one did anything by hand but end the fault.
"""

NOTES = """\
## Reading the numbers

- **Attempts.** A worker that is killed, or cannot be heard for longer than the limit, costs the attempt that it holds.
  A fault of the server's side costs none, because no one is given up for silence that the server could not have heard.
- **gearmand with the built-in queue, *queued*.** It forgets the job; the monitor submits the run as its next attempt.
- ***claimed*** is the moment in which the server has granted the claim and the worker does not know it yet: there is no
  note on its disk, so if it dies then, only the heartbeat limit ends the attempt. The answer goes on as soon as the
  fault is there; at the other steps the run is held until the fault is over.
- **The cloud.** At *running* and *cleaning* Tempest has made a project and a user. Where the node dies, with it goes
  the knowledge which they are: the next attempt names those that it finds, and a worker that starts again after a
  clean-up that was cut off says so.
- ***accepted*** is the moment in which the server has the result and `execute_test` does not know it yet: it posts
  again, and the same bytes get the same answer.
- **Disk full, worker**: the node takes no run as soon as it has noticed; a run that meets the full disk is released.
- **Disk full, queue**: gearmand 1.1.20 with libsqlite3 refuses every job from then on, also when there is room again.
  It has to be started again, which is part of the fault here. Runs wait meanwhile, and the monitor's log says why.
- PostgreSQL's own disk is not filled: it stops then, and comes back as in *postgresql-down*.
- **Black hole**: packets between the node and the server are dropped; the run still reaches the cloud.
- **Clocks**: API and monitor run with libfaketime; the worker's `time.time` is set in its Python, for libfaketime
  0.9.10 breaks `time.sleep` there. gearmand, PostgreSQL and the runs keep their clocks. A jump counts as time of the
  run itself: one that is within an hour of its time limit (plus `RUN_GRACE`) ends by a jump of an hour ahead. The runs
  here may take two hours.
"""


def page(outcomes: list[Outcome], command: str, seconds: float, lanes: int) -> str:
    """Return the page for what was carried out."""
    right = sum(not outcome.wrong for outcome in outcomes)
    head = HEAD.format(
        command=command,
        date=datetime.date.today().isoformat(),
        seconds=f"{seconds / 60:.0f} minutes",
        lanes=f"{lanes} installations side by side on {os.cpu_count()} cores, ",
        python=platform.python_version(),
        right=right,
        all=len(outcomes),
        factor=FACTOR,
        limit=HEARTBEAT_LIMIT,
        outage=OUTAGE,
        silence=SILENCE,
    )
    parts = [head, "## The matrix\n", *_matrix(outcomes), "", MEANING, *_wrong(outcomes), NOTES, *_words()]
    return "\n".join(parts)


def _matrix(outcomes: Sequence[Outcome]) -> Iterable[str]:
    steps = [step.name for step in STEPS if any(outcome.step == step.name for outcome in outcomes)]
    yield f"| fault | {' | '.join(steps)} |"
    yield "|---" * (len(steps) + 1) + "|"
    known = {(outcome.fault, outcome.step): outcome for outcome in outcomes}
    for fault in FAULTS:
        cells = [known.get((fault.name, step)) for step in steps]
        if any(cells):
            yield f"| {fault.name} | {' | '.join(_cell(cell) for cell in cells)} |"
    yield ""
    yield "How many attempts the run took, and how each of them ended."


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    text = f"{len(outcome.attempts)}: {', '.join(outcome.attempts)}"
    if outcome.first_try:
        text += " (second try)"
    return f"**WRONG** {text}" if outcome.wrong else text


def _wrong(outcomes: Sequence[Outcome]) -> Iterable[str]:
    again = [outcome for outcome in outcomes if outcome.first_try]
    if again:
        yield "## Done a second time\n\nNot right beside other cells on a busy machine, so done again alone:\n"
    for outcome in again:
        yield f"- {outcome.fault}, {outcome.step}: {outcome.first_try[:600]}"
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    if wrong:
        yield "## What is wrong\n"
    for outcome in wrong:
        yield f"- {outcome.fault}, {outcome.step}: {'; '.join(outcome.wrong)[:600]}"
    yield ""


def _words() -> Iterable[str]:
    yield "## Faults\n"
    yield "| fault | what happens |\n|---|---|"
    for fault in FAULTS:
        yield f"| {fault.name} | {fault.what} |"
    yield "\n## Steps\n"
    yield "| step | what holds the run there |\n|---|---|"
    for step in STEPS:
        yield f"| {step.name} | {step.how} |"
