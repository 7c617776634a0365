"""Reports progress: lines for people as things happen, or one JSON document for programs at the end."""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any, TextIO

from refstack_install.errors import InstallError
from refstack_install.step import Change, Step

LABELS = {
    "unchanged": "ok",
    "verified": "ok",
    "pending": "to do",
    "changed": "changed",
    "undone": "undone",
    "failed": "FAILED",
}


class Reporter:
    """Collects everything and prints one JSON document at the end."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.steps: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.error: dict[str, str] | None = None

    def note(self, text: str) -> None:
        """Report something that is not a step."""
        self.notes.append(text)

    def started(self, step: Step, changes: Sequence[Change]) -> None:
        """Report that a step starts to make changes."""

    def ended(self, step: Step, state: str, changes: Sequence[Change], seconds: tuple[float, float]) -> None:
        """Report that a step ended; ``seconds`` are the total and the package manager's share."""
        self.steps.append(
            {
                "name": step.name,
                "title": step.title,
                "state": state,
                "changes": [asdict(change) for change in changes],
                "seconds": round(seconds[0], 3),
                "package_manager_seconds": round(seconds[1], 3),
            }
        )

    def failed(self, step: Step, error: InstallError) -> None:
        """Report that a step failed."""
        self.error = {"step": step.name, **_error(error)}

    def finish(self, command: str, exit_code: int, seconds: float, error: InstallError | None = None) -> None:
        """Report the outcome of the whole command."""
        if error is not None and self.error is None:
            self.error = {"step": "", **_error(error)}
        document = {
            "command": command,
            "changed": any(step["state"] in ("changed", "undone") for step in self.steps),
            "pending": any(step["state"] == "pending" for step in self.steps),
            "exit_code": exit_code,
            "steps": self.steps,
            "notes": self.notes,
            "error": self.error,
            "seconds": round(seconds, 3),
        }
        self.say(json.dumps(document, indent=1))

    def say(self, text: str) -> None:
        self.out = write_line(text, self.out)


class PersonReporter(Reporter):
    """Prints each event at once, for people."""

    def note(self, text: str) -> None:
        super().note(text)
        self.say(f"  note: {text}")

    def started(self, step: Step, changes: Sequence[Change]) -> None:
        self.say(f"{step.title} ...")

    def ended(self, step: Step, state: str, changes: Sequence[Change], seconds: tuple[float, float]) -> None:
        super().ended(step, state, changes, seconds)
        lines = [f"{LABELS[state]:>8}  {step.title} ({seconds[0]:.1f} s)"]
        for change in changes if state in ("pending", "changed") else ():
            lines += [f"            {line}" for line in _lines(change)]
        self.say("\n".join(lines))

    def finish(self, command: str, exit_code: int, seconds: float, error: InstallError | None = None) -> None:
        if error is not None:
            _write_error(str(error))
            return
        changed = sum(step["state"] in ("changed", "undone") for step in self.steps)
        pending = sum(step["state"] == "pending" for step in self.steps)
        summary = {
            "plan": f"{pending} step(s) to do; run 'apply' to do them" if exit_code else "nothing to do",
            "apply": f"{changed} step(s) changed" if changed else "nothing to do",
            "verify": "all checks passed",
            "remove": "removed" if changed else "refstack-install has nothing installed here",
        }
        self.say(f"{summary.get(command, 'done')} ({seconds:.1f} s)")


def write_line(text: str, out: TextIO) -> TextIO:
    """Print a line. A reader that goes away (``apply | head``), or a full disk, must not stop the work.

    :returns: where to print from now on.
    """
    try:
        print(text, file=out, flush=True)
    except OSError as error:
        _write_error(f"cannot write the output ({error.strerror}); continuing without it")
        return _discard_rest(out)
    return out


def _write_error(text: str) -> None:
    with suppress(OSError):
        print(f"refstack-install: {text}", file=sys.stderr, flush=True)


def _discard_rest(out: TextIO) -> TextIO:
    """Point a broken output at the null device, so that the interpreter can flush it at its end."""
    nowhere = open(os.devnull, "w")
    with suppress(OSError, ValueError):
        os.dup2(nowhere.fileno(), out.fileno())
    return nowhere


def _error(error: InstallError) -> dict[str, str]:
    return {"reason": error.reason, "what": error.what, "why": error.why, "todo": error.todo, "message": str(error)}


def _lines(change: Change) -> list[str]:
    if "\n" not in change.before and "\n" not in change.after:
        return [f"{change.what}: {change.before or '(none)'} -> {change.after or '(none)'}"]
    texts = change.before.splitlines(), change.after.splitlines()
    lines = difflib.unified_diff(*texts, "before", "after", n=1, lineterm="")
    return [f"{change.what}:", *(f"  {line}" for line in lines)]
