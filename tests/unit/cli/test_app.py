"""One place turns an error into a message and an exit code."""

from __future__ import annotations

import csv
import io
import json
import sys

import pytest
from cliff.command import Command
from cliff.lister import Lister

from refstack_worker import systemd
from refstack_worker.cli import app
from refstack_worker.errors import ConfigError, StoreError


class Fails(Command):
    """Raise a domain error."""

    def take_action(self, parsed_args):
        raise StoreError("/store: read-only; remount it")


class Breaks(Command):
    """Raise what no command should."""

    def take_action(self, parsed_args):
        raise ValueError("oops")


class Lists(Lister):
    """Print records."""

    def take_action(self, parsed_args):
        return ("name", "size"), [("a", 1)]


class ListsNames(Lister):
    """Print names that others chose."""

    def take_action(self, parsed_args):
        return ("name", "size"), [('=HYPERLINK("http://evil/")', -1), ("@x", None), ("a-b", 2), ("\u0645ü", 3)]


class Wants(Command):
    """Import what only PostgreSQL's users have."""

    def take_action(self, parsed_args):
        raise ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2")


PROGRAM = app.CliProgram(
    "refstack-x",
    "A program.",
    {
        "fail": Fails,
        "break it": Breaks,
        "list": Lists,
        "list names": ListsNames,
        "want": Wants,
        "serve": "tests.support.lacks_server:Serve",
    },
)


@pytest.mark.parametrize("words", [["help"], ["help", "complete"], ["complete", "--help"]])
def test_the_example_for_completion_is_of_this_program(words, capsys):
    assert app.main(PROGRAM, words) == 0
    assert "source <(refstack-x complete bash)" in " ".join(capsys.readouterr().out.split())


def test_domain_error_is_one_line_and_its_code(capsys):
    assert app.main(PROGRAM, ["fail"]) == StoreError.exit_code
    assert capsys.readouterr().err == "/store: read-only; remount it\n"


def test_other_error_is_1_and_named(capsys):
    assert app.main(PROGRAM, ["break", "it"]) == 1
    assert "ValueError" in capsys.readouterr().err


def test_records_in_json(capsys):
    assert app.main(PROGRAM, ["list", "-f", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"name": "a", "size": 1}]


def test_no_cell_of_csv_is_a_formula(capsys):
    assert app.main(PROGRAM, ["list", "names", "-f", "csv", "--sort-column", "name"]) == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert sorted(rows[1:]) == sorted(
        [['\'=HYPERLINK("http://evil/")', "-1"], ["'@x", ""], ["a-b", "2"], ["\u0645ü", "3"]]
    )
    assert app.main(PROGRAM, ["list", "names", "-f", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"].startswith("=HYPERLINK"), "programs get it as it is"


def test_a_log_file_that_cannot_be_is_named_with_its_option(tmp_path, capsys):
    assert app.main(PROGRAM, ["--log-file", str(tmp_path / "no" / "x"), "list"]) == 2
    assert capsys.readouterr().err == f"--log-file: {tmp_path}/no/x: No such file or directory; name another file\n"


def test_no_command_is_usage(capsys):
    assert app.main(PROGRAM, []) == 2
    assert "break it" in capsys.readouterr().out, "the help says which there are"


def test_unknown_command_is_usage(capsys):
    assert app.main(PROGRAM, ["lost"]) == 2


@pytest.mark.parametrize("words", [["no", "such", "--help"], ["help", "no", "such"]])
def test_help_for_an_unknown_command_is_usage(capsys, words):
    assert app.main(PROGRAM, words) == 2
    assert "no such command: no such; see" in capsys.readouterr().err


def test_journal_priorities(capsys, monkeypatch):
    monkeypatch.setattr(systemd, "is_journal", lambda _stream: True)
    app.main(PROGRAM, ["fail"])
    assert capsys.readouterr().err == "<3>/store: read-only; remount it\n"


def test_letters_that_the_output_cannot_show_are_escaped(monkeypatch):
    output = io.TextIOWrapper(io.BytesIO(), "latin-1")
    monkeypatch.setattr(sys, "stdout", output)
    assert app.main(PROGRAM, ["list", "names"]) == 0
    output.flush()
    assert b"\\u0645\xfc" in output.buffer.getvalue()


def test_log_file_keeps_times(tmp_path):
    app.main(PROGRAM, ["--log-file", str(tmp_path / "log"), "fail"])
    assert "ERROR refstack_worker: /store" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("serve", "the server's part: install refstack-worker[server] (or the package refstack-queue)"),
        ("want", "the postgresql part: install refstack-worker[postgresql]"),
    ],
)
def test_missing_extra_is_one_line_and_config(capsys, monkeypatch, command, said):
    monkeypatch.setitem(sys.modules, "alembic", None)
    monkeypatch.delitem(sys.modules, "tests.support.lacks_server", raising=False)
    assert app.main(PROGRAM, [command]) == ConfigError.exit_code
    assert capsys.readouterr().err == f"this needs {said}\n"


def test_help_behind_a_command_is_about_the_command(capsys):
    assert app.main(PROGRAM, ["break", "it", "--help"]) == 0
    out = capsys.readouterr().out
    assert "usage: refstack-x break it" in out
    assert "Raise what no command should." in out


def test_help_alone_lists_the_commands(capsys):
    assert app.main(PROGRAM, ["--help"]) == 0
    assert "break it" in capsys.readouterr().out
