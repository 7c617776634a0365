"""The command line: where the answers come together, and where an error becomes a message and an exit status."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from refstack_install import answers as asking
from refstack_install import bundle_command, catalogue, journal, keyfiles, questions
from refstack_install.answers import Answers
from refstack_install.engine import Engine
from refstack_install.errors import DONE, PENDING, AnswersError, InstallError, InterruptedByUser
from refstack_install.output import PersonReporter, Reporter
from refstack_install.step import Context
from refstack_install.system import System
from refstack_install.unitcontrol import DISCARD

FLAGS = {
    "repository": "repository.url",
    "key": "repository.key",
    "fingerprint": "repository.fingerprint",
    "tempest": "tempest.versions",
    "gearman": "gearman.servers",
    "server": "server.urls",
    "node-name": "node.name",
    "fleet-key": "keys.fleet",
    "server-key": "keys.servers",
    "bundle": "bundle.file",
    "package-version": "packages.version",
}
"""Settings that have a flag of their own; every other one is given with --set."""


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command line and return the exit status (docs/installer.md)."""
    try:
        asked = _parser().parse_args(argv)
        if asked.command == "bundle":
            return bundle_command.run(asked)
        return _run(asked)
    except InstallError as error:
        print(f"refstack-install: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return InterruptedByUser.exit_code


def _run(asked: argparse.Namespace) -> int:
    began = time.monotonic()
    reporter = Reporter() if asked.json else PersonReporter()
    error: InstallError | None = None
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = _command(asked, reporter)
    except InstallError as failure:
        error, code = failure, failure.exit_code
    except KeyboardInterrupt:
        error = InterruptedByUser("interrupted", todo="run again to go on")
        code = error.exit_code
    reporter.finish(asked.command, code, time.monotonic() - began, error)
    return code


def _command(asked: argparse.Namespace, reporter: Reporter) -> int:
    environ = {**os.environ, **({DISCARD: "1"} if getattr(asked, "discard_results", False) else {})}
    system = System(asked.root, environ)
    engine_journal = journal.Journal(system)
    answers = _answers(asked, system, engine_journal)
    engine = Engine(catalogue.steps(Context(system, answers)), engine_journal, reporter)
    if asked.command == "plan":
        return PENDING if engine.plan() else DONE
    if asked.command == "apply":
        engine.apply()
        engine_journal.keep_answers(asking.as_toml(answers))
    elif asked.command == "verify":
        engine.verify()
    else:
        engine.remove()
    return DONE


def _answers(asked: argparse.Namespace, system: System, kept: journal.Journal) -> Answers:
    """Return the answers; without any, those of the last ``apply``."""
    named = {FLAGS[flag]: value for flag in FLAGS if (value := getattr(asked, flag.replace("-", "_"))) is not None}
    values, configuration = asking.from_file(asked.answers) if asked.answers else ({}, {})
    for section, table in asking.configuration_from_words(asked.configure).items():
        configuration.setdefault(section, {}).update(table)
    sources: list[Mapping[str, Any]] = [
        values,
        asking.from_environment(system.environ),
        asking.from_words(asked.set),
        named,
    ]
    if not any(sources) and not configuration and kept.answers.is_file():
        values, configuration = asking.from_file(kept.answers)
        sources = [values, keyfiles.present(system)]
    answers = asking.make(sources, configuration)
    if asked.command == "remove":
        return answers
    if answers.missing() and not asked.json and sys.stdin.isatty():
        answers = asking.make([*sources, questions.ask(answers)], configuration)
    missing = answers.missing()
    if missing:
        names = ", ".join(setting.name for setting in missing)
        raise AnswersError(f"not answered: {names}", todo="give them in --answers FILE, by flags or variables")
    return answers


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit 2 means 'changes pending' here, so a wrong command line is 3."""
        raise AnswersError(message, todo="see --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="refstack-install",
        description="Make this machine a node that runs RefStack's Tempest runs.",
        epilog="Exit status: 0 nothing (more) to do; 2 changes pending (plan); 3 answers; 4 preflight; 5 a step failed "
        "and was undone; 6 it could not be undone; 7 verify; 8 busy; 9 bundle; 130 interrupted and undone.",
    )
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    for name, text in (
        ("plan", "show what apply would change, and change nothing (exit 0 nothing, 2 something)"),
        ("apply", "make it so"),
        ("verify", "prove that it is so, with a self-test run through gearmand"),
        ("remove", "undo everything that apply did"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        _common(command)
        if name == "remove":
            command.add_argument("--discard-results", action="store_true", help="also when results were not delivered")
    bundle_command.arguments(commands.add_parser("bundle", help="make a signed bundle for sites without internet"))
    return parser


def _common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--answers", type=Path, metavar="FILE", help="answers file (TOML; docs/installer.md)")
    command.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="one more answer")
    command.add_argument(
        "--configure", action="append", default=[], metavar="SECTION.KEY=JSON", help="one more setting of the worker"
    )
    command.add_argument("--json", action="store_true", help="one JSON document on stdout at the end")
    command.add_argument("--root", type=Path, default=Path("/"), help="work on the tree below this folder")
    for flag, name in FLAGS.items():
        command.add_argument(f"--{flag}", metavar="VALUE", help=asking.BY_NAME[name].help)
