"""The command line: collects the answers, runs a command, and turns errors into messages and exit codes."""

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

from refstack_install import journal
from refstack_install.answers import answers as answering
from refstack_install.answers import key_files, questions, sources
from refstack_install.answers.answers import Answers
from refstack_install.answers.settings import BY_NAME
from refstack_install.bundle import command as bundle_command
from refstack_install.engine import Engine
from refstack_install.errors import DONE, PENDING, AnswersError, InstallError, InterruptedByUser
from refstack_install.hosts.units import DISCARD
from refstack_install.reporter import PersonReporter, Reporter
from refstack_install.step import Context
from refstack_install.system import System

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
"""Settings with a flag of their own. The others are given with --set."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status (docs/installer.md)."""
    try:
        args = _parser().parse_args(argv)
        if args.command == "bundle":
            return bundle_command.run(args)
        return _run(args)
    except InstallError as error:
        print(f"refstack-install: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return InterruptedByUser.exit_code


def _run(args: argparse.Namespace) -> int:
    began = time.monotonic()
    reporter = Reporter() if args.json else PersonReporter()
    error: InstallError | None = None
    for signum in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) != signal.SIG_IGN:  # nohup
            signal.signal(signum, _interrupt)
    try:
        code = _command(args, reporter)
    except InstallError as failure:
        error, code = failure, failure.exit_code
    except KeyboardInterrupt:
        error = InterruptedByUser("interrupted", todo="run again to continue")
        code = error.exit_code
    reporter.finish(args.command, code, time.monotonic() - began, error)
    return code


def _command(args: argparse.Namespace, reporter: Reporter) -> int:
    environ = {**os.environ, **({DISCARD: "1"} if getattr(args, "discard_results", False) else {})}
    system = System(args.root, environ)
    engine_journal = journal.Journal(system)
    answers = _answers(args, system, engine_journal)
    # --help and wrong answers do without the steps, which take a third of the start
    from refstack_install.steps import sequence

    engine = Engine(sequence.steps(Context(system, answers)), engine_journal, reporter)
    if args.command == "plan":
        return PENDING if engine.plan() else DONE
    if args.command == "apply":
        engine.apply()
        engine_journal.keep_answers(answering.as_toml(answers))
    elif args.command == "verify":
        engine.verify()
    else:
        engine.remove()
    return DONE


def _answers(args: argparse.Namespace, system: System, kept: journal.Journal) -> Answers:
    """Return the answers; if the command line and environment give none, those of the last ``apply``."""
    flags = {FLAGS[flag]: value for flag in FLAGS if (value := getattr(args, flag.replace("-", "_"))) is not None}
    values, configuration = sources.from_file(args.answers) if args.answers else ({}, {})
    for section, table in sources.configuration_from_assignments(args.configure).items():
        configuration.setdefault(section, {}).update(table)
    all_sources: list[Mapping[str, Any]] = [
        values,
        sources.from_environment(system.environ),
        sources.from_assignments(args.set),
        flags,
    ]
    if not any(all_sources) and not configuration and kept.answers.is_file():
        values, configuration = sources.from_file(kept.answers)
        all_sources = [values, key_files.installed(system)]
    answers = answering.combine(all_sources, configuration)
    if args.command == "remove":
        return answers
    if answers.missing() and not args.json and sys.stdin.isatty():
        answers = answering.combine([*all_sources, questions.ask(answers)], configuration)
    missing = answers.missing()
    if missing:
        names = ", ".join(setting.name for setting in missing)
        raise AnswersError(f"missing settings: {names}", todo="use --answers FILE, flags or environment variables")
    return answers


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with 3, because 2 means 'changes pending' here."""
        raise AnswersError(message, todo="see --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="refstack-install",
        description="Make this machine a RefStack worker node.",
        epilog="Exit status: 0 done or nothing to do; 2 changes pending (plan); 3 invalid answers; 4 preflight failed; "
        "5 a step failed and was undone; 6 a step could not be undone; 7 verify failed; 8 another installer runs; "
        "9 bundle error; 130 interrupted and undone.",
    )
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    for name, text in (
        ("plan", "show what apply would change, without changing anything (exit 0: nothing, 2: something)"),
        ("apply", "make all pending changes"),
        ("verify", "check the node, with a self-test run through gearmand"),
        ("remove", "undo everything that apply did"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        _common(command)
        if name == "remove":
            command.add_argument(
                "--discard-results", action="store_true", help="remove even if results are undelivered"
            )
    bundle_command.arguments(commands.add_parser("bundle", help="make a signed bundle for sites without internet"))
    return parser


def _common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--answers", type=Path, metavar="FILE", help="answers file (TOML; see docs/installer.md)")
    command.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="set one answer")
    command.add_argument(
        "--configure", action="append", default=[], metavar="SECTION.KEY=JSON", help="set one setting of the worker"
    )
    command.add_argument("--json", action="store_true", help="print one JSON document on stdout at the end")
    command.add_argument("--root", type=Path, default=Path("/"), help="work on the tree below this folder")
    for flag, name in FLAGS.items():
        command.add_argument(f"--{flag}", metavar="VALUE", help=BY_NAME[name].help)
