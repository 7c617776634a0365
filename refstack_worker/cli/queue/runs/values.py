"""How values of a run are shown: a few words or lines for people, records for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cliff.columns import FormattableColumn

from refstack_worker.cli.queue.runs.watch import cause_lines, place_words

if TYPE_CHECKING:
    _Records = FormattableColumn[list[dict[str, Any]]]
    _Value = FormattableColumn[Any]
else:
    # cliff 4.0 (Debian 12) has no type parameter there
    _Records = _Value = FormattableColumn

MAX_SHOWN_TESTS = 10
"""Limit for the requested tests that are shown to people."""


class Messages(_Records):
    """Status messages: lines for people, records for machines."""

    def human_readable(self) -> str:
        return "\n".join(f"{item['time']} {item['message']}" for item in self._value)


class AttemptLines(_Records):
    """The attempts of a run: lines for people, records for machines."""

    def human_readable(self) -> str:
        return "\n".join(
            f"{item['attempt']}: {item['worker'] or 'no node'} {item['outcome'] or 'open'} {item['note']}".rstrip()
            for item in self._value
        )


class ShardLines(_Records):
    """The shards of a run: a line each for people, records for machines."""

    def human_readable(self) -> str:
        return "\n".join(
            f"{item['number']}: {item['tests']} tests on {item['worker'] or 'no node yet'}, {item['state']}"
            + (f", run {item['test_id']}" if item["test_id"] else ", after the others")
            for item in self._value
        )


class FailedTests(_Records):
    """Failed tests: their names for people, whom the causes tell why, records for machines."""

    def human_readable(self) -> str:
        return "\n".join(item["name"] for item in self._value) or "none"


class Causes(_Records):
    """Why tests failed: two lines for people, records for machines."""

    def human_readable(self) -> str:
        return "\n".join(cause_lines(self._value)) or "no test failed"


class Warnings(_Value):
    """What a run would lack: a line each for people."""

    def human_readable(self) -> str:
        return "\n".join(self._value) or "none"


class Tests(_Value):
    """What was asked to run: one name or expression a line for people."""

    def human_readable(self) -> str:
        asked = self._value or {}
        lines = [*asked.get("names", ()), *(f"regex {item}" for item in asked.get("regexes", ()))]
        if len(lines) > MAX_SHOWN_TESTS:
            lines = [*lines[:MAX_SHOWN_TESTS], f"… and {len(lines) - MAX_SHOWN_TESTS} more ('-f json' shows all)"]
        return "\n".join([*lines, *([asked["url"]] if asked.get("url") else [])]) or "the server's default"


class Counted(_Value):
    """Progress or counts: a few words for people."""

    def human_readable(self) -> str:
        counts = self._value or {}
        said = ", ".join(f"{counts.get(name) or 0} {name}" for name in ("passed", "failed", "skipped"))
        return f"{counts['done']} of {counts['total']}: {said}" if counts.get("total") else said


class VerdictWords(_Value):
    """A verdict: a few words for people."""

    def human_readable(self) -> str:
        verdict = self._value
        if not verdict:
            return "none"
        return f"{'passed' if verdict['passed'] else 'not passed'}: {verdict['count']} of {verdict['total']}"


class PlaceWords(_Value):
    """A place in the queue: a few words for people."""

    def human_readable(self) -> str:
        return place_words(self._value) if self._value else "not waiting"


def last_line(text: str) -> str:
    """Return the last line that says something: of a traceback the error itself."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
