"""What the commands share: the one place where an error becomes a message and an exit code, and logging.

A program is a :class:`CliProgram`; its ``main`` is ``return main(PROGRAM)``. Commands are cliff's classes
(``cliff.command.Command``, ``cliff.lister.Lister``, ``cliff.show.ShowOne``), so that whatever prints records
knows ``-f table|json|csv|yaml|value``. A command raises a :class:`~refstack_worker.errors.RefstackError`; it
never exits.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import io
import logging
import os
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cliff.app import App
from cliff.command import Command
from cliff.commandmanager import CommandManager
from cliff.help import HelpCommand, HelpExit

from refstack_worker import systemd
from refstack_worker.cli import completion, terminal
from refstack_worker.contract.spreadsheets import harmless
from refstack_worker.errors import ConfigError, RefstackError, UsageError
from refstack_worker.version import software_version

LOG = logging.getLogger("refstack_worker")

PARTS = {
    **dict.fromkeys(
        ("alembic", "cryptography", "flask", "jwt", "sqlalchemy", "subunit", "waitress", "werkzeug"), "server"
    ),
    "psycopg2": "postgresql",
    **dict.fromkeys(("tomli_w", "uv"), "builder"),
}
"""Modules that a plain installation lacks, to the extra of this project that brings them."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it: 128 + SIGINT."""


@dataclass(frozen=True)
class CliProgram:
    """One program of the project: what it is called and what it can do."""

    name: str
    description: str
    commands: Mapping[str, type[Command] | str]
    """Words of the command (``"env build"``) to the class that does it, or to where it is (``"module:Class"``), so that
    a command need not wait for what only others import."""
    add_options: Callable[[argparse.ArgumentParser], None] | None = None
    """Adds options that stand before the command, such as ``--config``."""
    load_settings: Callable[[argparse.Namespace], Any] | None = None
    """Makes the program's settings of those options; done when a command first asks for ``self.app.settings``."""


class _Deferred:
    """Where a command is. It is imported when it is called; help and completion go on without what it may lack."""

    def __init__(self, name: str, value: str) -> None:
        self.name, self.value = name, value

    def load(self) -> type[Command]:
        """Return the class of the command; one whose extra is missing says so when it is called."""
        module, _, name = self.value.partition(":")
        try:
            found: type[Command] = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            failure = lacking(error)
            if failure is error:
                raise
            return _lacking_command(str(failure))
        return found


def _lacking_command(message: str) -> type[Command]:
    class Lacking(Command):
        deprecated = True  # cliff leaves it out of the list of commands

        def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
            parser: argparse.ArgumentParser = super().get_parser(prog_name)
            parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
            parser.prefix_chars = ""  # whatever options it was called with, the answer is the same
            return parser

        def take_action(self, parsed_args: argparse.Namespace) -> None:
            raise ConfigError(message)

    Lacking.__doc__ = f"({message})"
    return Lacking


def commands_of(app: Any) -> list[str]:
    """Return the words of the program's own commands."""
    return list(app.program.commands)


class Complete(Command):
    """Print a completion script for your shell."""

    def get_description(self) -> str:
        """Return the description with an example for this program."""
        return f"Print a completion script for your shell, e.g. 'source <({self.app.NAME} complete bash)'."

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("shell", choices=tuple(completion.SHELLS), nargs="?", default="bash", help="default: bash")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        commands = {}
        for words in commands_of(self.app):
            kind = self.app.command_manager.find_command(words.split())[0]
            commands[words] = kind(self.app, None).get_parser(f"{self.app.NAME} {words}")
        self.app.stdout.write(completion.SHELLS[parsed_args.shell](self.app.NAME, commands))


class RefstackApp(App):
    """cliff's application, with this project's errors, exit codes and logging."""

    LOG = LOG

    def __init__(self, program: CliProgram) -> None:
        manager = CommandManager("")
        for words, command in program.commands.items():
            if isinstance(command, str):
                manager.commands[words] = _Deferred(words, command)  # type: ignore[assignment]
            else:
                manager.add_command(words, command)
        self.NAME = program.name
        self.program = program
        self._failure: BaseException | None = None
        # deferred: 'run create --help' is about 'run create', not about the program
        super().__init__(program.description, software_version(), manager, deferred_help=True)
        manager.add_command("complete", Complete)

    def run(self, argv: list[str]) -> int:
        """Carry out one command line and return the process's exit status."""
        try:
            result = super().run(argv)
        except HelpExit:
            if {"help", "-h", "--help"}.issuperset(argv):
                self._tell_what_is_lacking()
            return self._failure.exit_code if isinstance(self._failure, RefstackError) else 0
        if isinstance(self._failure, RefstackError):
            return self._failure.exit_code
        return int(result or 0)

    def _tell_what_is_lacking(self) -> None:
        """Add to the list of commands those that cannot be called here, by what they need."""
        lacking_ones: dict[str, list[str]] = {}
        for words, command in self.program.commands.items():
            loaded = _Deferred(words, command).load() if isinstance(command, str) else command
            if getattr(loaded, "deprecated", False):
                lacking_ones.setdefault(str(loaded.__doc__), []).append(words)
        for need, commands in sorted(lacking_ones.items()):
            self.stdout.write(f"\nNot available here {need}:\n")
            self.stdout.write(
                textwrap.fill(", ".join(sorted(commands)), 78, initial_indent="  ", subsequent_indent="  ") + "\n"
            )

    def run_subcommand(self, argv: list[str]) -> int:
        """Carry out a command; one whose module cannot be loaded for want of an extra says which."""
        try:
            return int(super().run_subcommand(argv) or 0)
        except ModuleNotFoundError as error:
            self._failure = lacking(error)
            if self._failure is error:
                raise
            LOG.error(self._failure)
            return ConfigError.exit_code

    def prepare_to_run_command(self, cmd: Command) -> None:
        """Guard the terminal, and let a command that lacks an extra only while it runs say so before cliff does."""
        if not isinstance(cmd, HelpCommand):  # which gives the terminal to a pager
            self.stdout = terminal.guarded(self.stdout)
        run, act = cmd.run, cmd.take_action

        def as_cells(parsed_args: argparse.Namespace) -> Any:
            names, rows = act(parsed_args)
            return names, ([harmless(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)

        def guarded(parsed_args: argparse.Namespace) -> int:
            if getattr(parsed_args, "formatter", "") == "csv":
                cmd.take_action = as_cells  # type: ignore[method-assign]
            try:
                return int(run(parsed_args) or 0)
            except ModuleNotFoundError as error:
                raise lacking(error) from error
            except ValueError as error:
                if "No recognized column names" in str(error):
                    raise UsageError(f"-c: {error}; the command itself was carried out") from None
                if str(error).startswith("Unknown command"):  # cliff's help
                    words = " ".join(parsed_args.cmd)
                    raise UsageError(f"no such command: {words}; see '{self.NAME} --help'") from None
                raise

        cmd.run = guarded  # type: ignore[method-assign]

    @functools.cached_property
    def settings(self) -> Any:
        """The program's settings.

        :raises ConfigError: they are not right.
        """
        if self.program.load_settings is None:
            raise UsageError(f"{self.NAME} has no settings")
        return self.program.load_settings(self.options)

    def build_option_parser(self, *args: Any, **kwargs: Any) -> argparse.ArgumentParser:
        """Add the program's own options to cliff's."""
        parser: argparse.ArgumentParser = super().build_option_parser(*args, **kwargs)
        if self.program.add_options is not None:
            self.program.add_options(parser)
        return parser

    def initialize_app(self, argv: list[str]) -> None:
        """Print the help for an empty command line: none of the programs has an interactive mode."""
        if not argv and not self.options.deferred_help:
            self._failure = UsageError(f"no command given; '{self.NAME} help' lists them")
            self.options.deferred_help = True
            self.print_help_if_requested()

    def clean_up(self, cmd: Any, result: int, err: BaseException | None) -> None:
        """Keep the error that ended the command, for its exit code."""
        self._failure = err
        if err is not None and not isinstance(err, (RefstackError, KeyboardInterrupt, BrokenPipeError)):
            LOG.error("unexpected %s (please report it; --debug shows where)", type(err).__name__)

    def configure_logging(self) -> None:
        """Log to stderr: this project's messages at the level asked for, of libraries only warnings."""
        level = {0: logging.WARNING, 1: logging.INFO}.get(self.options.verbose_level, logging.DEBUG)
        try:
            set_up_logging(level, self.options.log_file)
        except OSError as error:
            # cliff shows it, and asks for no exit status
            self._failure = UsageError(f"--log-file: {self.options.log_file}: {error.strerror}; name another file")
            raise self._failure from None


class JournalFormatter(logging.Formatter):
    """Put the priority in front as the journal reads it (sd-daemon(3)), so that ``journalctl -p`` works."""

    PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))

    def format(self, record: logging.LogRecord) -> str:
        """Prefix each line: the journal takes every line for a message of its own."""
        priority = next(number for level, number in self.PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def set_up_logging(level: int, log_file: str | None = None) -> None:
    """Send log records of ``level`` and above to stderr, and to ``log_file`` (with times) if one is named."""
    root = logging.getLogger()
    root.setLevel(logging.DEBUG if level == logging.DEBUG else logging.WARNING)
    LOG.setLevel(level)
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(JournalFormatter() if systemd.is_journal(sys.stderr) else logging.Formatter())
    root.addHandler(console)
    if log_file:
        to_file = logging.FileHandler(log_file)
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.addHandler(to_file)


def lacking(error: ModuleNotFoundError) -> Exception:
    """Return the error that says which extra brings a missing module; the same error where none does."""
    extra = PARTS.get((error.name or "").partition(".")[0])
    if extra is None:
        return error
    package = " (or the package refstack-queue)" if extra == "server" else ""
    part = "the server's part" if extra == "server" else f"the {extra} part"
    return ConfigError(f"this needs {part}: install refstack-worker[{extra}]{package}")


def main(program: CliProgram, argv: Sequence[str] | None = None) -> int:
    """Run a program on ``argv`` (default: the process's own) and return its exit status."""
    # a table as wide as the terminal; cliff lets it break lines of values that are wider only when it is asked
    os.environ.setdefault("CLIFF_FIT_WIDTH", "1")
    # names that users gave have letters that a terminal's or a cron job's encoding may lack
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return RefstackApp(program).run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        return INTERRUPTED
