"""The parity table: true to the routes and commands, and without an empty cell that has no reason."""

from __future__ import annotations

from tools import parity
from tools.parity_rows import ROWS, Row


def test_every_page_call_and_command_is_in_a_row_and_every_gap_has_a_reason() -> None:
    assert list(parity.troubles()) == []


def test_the_page_is_what_the_command_makes() -> None:
    assert parity.main(["--check"]) == 0, "run: python -m tools.parity"


def test_what_is_wrong_is_told() -> None:
    broken = (*ROWS, Row("nothing", (), ("no_such_call",), ()))
    assert list(parity.troubles(broken)) == [
        "there is no call 'no_such_call'",
        "nothing: an empty cell without a reason",
    ]
    without = list(parity.troubles(tuple(row for row in ROWS if row.what != "cancel a run")))
    assert without == [
        "page 'cancel_run_post' is in no row",
        "call 'cancel_run' is in no row",
        "command 'run cancel' is in no row",
    ]
