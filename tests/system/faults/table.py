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

No matter what fails in the middle of a run: no run is lost, none is counted twice, and nothing is left behind. The
command below injects each fault at each step of a run, checks the ledger, the disks, the processes and the cloud
afterwards, and writes this page. Don't edit it; run the command.

    {command}

{date}, {seconds}, {lanes}Python {python}: **{right} of {all} cells right.**

Everything is real: gearmand, PostgreSQL, `refstack-queue api` and `monitor`, `refstack-worker run` in a network
namespace of its own with a disk of its own, `execute_test`, Tempest 47.0.0 with two tests against a Keystone. One
proxy that can hold requests is between node and API, another between the run and the cloud.

Limits are the product's defaults divided by {factor}: a worker is lost after {limit:g} s of silence in place of 60,
"ten minutes" are {outage:g} s, and a fault that lasts longer than the limit lasts {silence:g} s. These are
not divided: time limits of calls (5 s), the grace between TERM and KILL, the leases of submitters (60 s), the growing
pauses between a worker's tries, and how often the monitor checks the queue (every 5 s, for jobs older than 10 s).
Heartbeats come every 0.5 s in place of 2, and a cancel has 10 s in place of 60.
"""

MEANING = """\
A cell is right when all of this is true:

- The run is `finished`; at the step *cleaning* it is `cancelled`.
- It has one result, from its last attempt, with both tests counted once. A cancelled run has none.
- It took the expected number of attempts. None is open, the end was reported once, and no sealed password is kept.
- On the node only the worker runs. No folder, no record of a run and no spooled result is left.
- No upload is left on the server, and no file contains the cloud's password.
- Keystone has the users and projects that it had before, or the run's messages tell the vendor what may be left.
- Nothing was done by hand except to end the fault.
"""

NOTES = """\
## Reading the numbers

- **Attempts.** A worker that is killed, or is silent for longer than the limit, costs the attempt that it holds. Faults
  on the server's side cost none: a worker does not count as silent while the server could not hear it.
- **gearmand-kill-builtin at *queued*.** gearmand loses the job, and the monitor submits the run as its next attempt.
- ***claimed***: the server has granted the claim, and the worker does not know yet. Nothing is on the node's disk, so
  if the worker dies now, only the heartbeat limit ends the attempt. The answer is let through once the fault is
  there. At the other steps the run is held until the fault is over.
- **The cloud.** At *running* and *cleaning* Tempest has made a project and a user. If the node dies, the next attempt
  names those that it finds. A worker that starts again after its clean-up was cut off reports that.
- ***accepted***: the server has the result, and `execute_test` does not know yet. It posts the result again, and the
  same bytes get the same answer.
- **disk-full-worker.** The node takes no runs once it notices. A run that needs the full disk is released.
- **disk-full-queue.** gearmand 1.1.20 with libsqlite3 then refuses every job, even when there is room again, until it
  is started again. The fault includes that. Runs wait meanwhile, and the monitor's log says why.
- **PostgreSQL's disk** is not filled: PostgreSQL would stop and come back as in *postgresql-down*.
- **black-hole.** Packets between node and server are dropped. The run still reaches the cloud.
- **Clocks.** API and monitor run with libfaketime. The worker's `time.time` is changed inside Python, because
  libfaketime 0.9.10 breaks `time.sleep` there. gearmand, PostgreSQL and the runs keep their clocks. A jump ahead counts
  as running time: a run that has less than an hour left of its time limit (plus `RUN_GRACE`) ends. Runs may take two
  hours here.
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
    yield "The number of attempts that the run took, and how each ended."


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
    yield "| step | how the run is held there |\n|---|---|"
    for step in STEPS:
        yield f"| {step.name} | {step.how} |"
