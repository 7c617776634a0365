"""docs/exit-codes.md says of every error class and every end of a run what the code says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from refstack_worker import errors
from refstack_worker.execute_test import failures

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "exit-codes.md").read_text()


def documented(section: str) -> dict[int, set[str]]:
    """Code to reasons, out of the tables below a heading."""
    text = PAGE.partition(f"## {section}")[2].partition("\n## ")[0]
    found: dict[int, set[str]] = {}
    for code, reasons in re.findall(r"^\| (\d+) \| ([^|]*) \|", text, re.MULTILINE):
        found.setdefault(int(code), set()).update(re.findall(r"`([^`]+)`", reasons))
    return found


def below(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for child in root.__subclasses__():
        yield from below(child)


def test_errors_of_the_commands() -> None:
    told = documented("`refstack-queue`")
    for error in below(errors.RefstackError):
        if error.__module__ == errors.__name__:
            assert error.reason in told[error.exit_code], error  # type: ignore[attr-defined]
    known = {error.reason for error in below(errors.RefstackError)}  # type: ignore[attr-defined]
    assert {reason for reasons in told.values() for reason in reasons} <= known


def test_ends_of_execute_test() -> None:
    told = documented("`execute_test`")
    raised = {(error.exit_code, error.reason) for error in below(failures.Failure)}  # type: ignore[attr-defined]
    assert raised | {(0, "passed")} == {(code, reason) for code, reasons in told.items() for reason in reasons}
