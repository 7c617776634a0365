"""What others wrote does nothing to a terminal."""

from __future__ import annotations

import io
import os
import pty
import sys
from pathlib import Path

import pytest

from refstack_worker.cli import terminal
from refstack_worker.cli.app import CliProgram, main

EVIL = "\x1b]0;owned\x07test\x1b[2A\u202e\x9b1A passed\rtempest"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen() -> Screen:
    return Screen()


def test_control_characters_are_shown(screen: Screen) -> None:
    terminal.guarded(screen).write(f"| {EVIL} |\n\tnext\n")
    shown = screen.getvalue()
    assert shown.endswith(" |\n\tnext\n") and "owned" in shown
    assert not set("\x1b\x07\x9b\u202e\r") & set(shown)


def test_the_bar_of_progress_stays_a_bar(screen: Screen) -> None:
    terminal.guarded(screen).write("\r     \r")
    assert screen.getvalue() == "\r     \r"


def test_bytes_are_guarded_also_where_a_character_is_in_two_pieces(screen: Screen) -> None:
    out = terminal.guarded(screen).buffer
    for piece in (b"\rcaf\xc3", b"\xa9\x1b[2J\r\n", b"end\n"):
        out.write(piece)
    assert screen.getvalue() == "\ufffdcafé\ufffd[2J\nend\n"


def test_files_and_pipes_get_what_there_is() -> None:
    out = io.StringIO()
    assert terminal.guarded(out) is out


def test_every_command_of_a_program_is_guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real terminal, with cliff's own table."""
    master, slave = pty.openpty()
    program = CliProgram("refstack-x", "A program.", {"list": "tests.support.evil_lister:EvilLister"})
    with open(slave, "w", encoding="utf-8") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert main(program, ["list"]) == 0
        out.flush()
        shown = os.read(master, 65536).decode()
    os.close(master)
    assert "owned" in shown and "\x1b" not in shown and "\x9b" not in shown
