"""What is known about the tests before the run: their names, and how long they took before."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from dbm import dumb
from pathlib import Path

from refstack_worker.contract.text_files import lines_of
from refstack_worker.execute_test.failures import BadInput

MAX_SECONDS = 1e6
"""A duration above that is not believed."""


@dataclass(frozen=True)
class TestFacts:
    __test__ = False  # not a test class

    names: tuple[str, ...] = ()
    """All the tests that this Tempest lists; empty: ask Tempest."""
    durations: Mapping[str, float] = field(default_factory=dict)
    """Seconds by test name (without the attributes in brackets)."""

    @classmethod
    def read(cls, known_tests: Path | None, durations: Path | None) -> TestFacts:
        """Read the files of ``--known-tests`` and ``--durations``.

        :raises BadInput: one cannot be read, or has another format.
        """
        names = lines_of(_read(known_tests, "--known-tests")) if known_tests else []
        seconds = _durations(_read(durations, "--durations")) if durations else {}
        return cls(tuple(name.strip() for name in names if name.strip()), seconds)


def give_durations(folder: Path, durations: Mapping[str, float], names: Iterable[str]) -> None:
    """Make stestr's repository with the durations of tests, by which it divides them among its processes.

    Tests without a known duration may be missing. The format is that of stestr's file repository: ``format``,
    ``next-stream`` and a ``dbm.dumb`` database ``times.dbm`` of test name to seconds.

    :param folder: where ``tempest run`` will be started.
    """
    stripped = {name.partition("[")[0] for name in names}
    chosen = {name: seconds for name, seconds in durations.items() if name in stripped}
    if not chosen:
        return
    repository = folder / ".stestr"
    repository.mkdir()
    for name, content in (("format", "1"), ("next-stream", "0")):
        (repository / name).write_text(f"{content}\n", encoding="ascii")
    with contextlib.closing(dumb.open(str(repository / "times.dbm"), "c")) as times:
        for name, seconds in chosen.items():
            times[name] = str(seconds)


def _read(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{where}: {path}: {error}") from error


def _durations(text: str) -> dict[str, float]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadInput(f"--durations: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadInput("--durations: not a JSON object of test names to seconds")
    return {name: float(seconds) for name, seconds in value.items() if _is_duration(seconds)}


def _is_duration(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < MAX_SECONDS
