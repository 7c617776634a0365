from __future__ import annotations

import importlib

import pytest
from cliff.command import Command

from refstack_worker.cli.worker.main import COMMANDS, main


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_each_command_is_there_and_says_what_it_does(words: str) -> None:
    module, _, name = COMMANDS[words].partition(":")
    command = getattr(importlib.import_module(module), name)
    assert issubclass(command, Command)
    assert command.__doc__ and len(command.__doc__.split()) > 3


def test_help_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {words} " in text for words in COMMANDS)


def test_a_file_that_is_not_there_is_named(caplog: pytest.LogCaptureFixture) -> None:
    assert main(["--config", "/no/worker.toml", "status"]) == 3
    assert "/no/worker.toml: No such file or directory" in caplog.text
