"""The command line of ``execute_test``, checked."""

from __future__ import annotations

import argparse
import os
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refstack_worker.contract.accounts import without_accounts
from refstack_worker.contract.execute_test import DISCOVERERS, KEYSTONE
from refstack_worker.contract.text_files import lines_of
from refstack_worker.execute_test.addresses import base_url
from refstack_worker.execute_test.failures import BadInput
from refstack_worker.execute_test.inputs import (
    accounts_from_file,
    conf_from_cloud,
    conf_from_file,
    json_value,
    read_file,
    unused_login,
)
from refstack_worker.execute_test.tempest.conf import Conf, check_conf, merge
from refstack_worker.execute_test.tempest.selection import check_testcases

_MAX_ID = 2**63 - 1


@dataclass(frozen=True)
class Arguments:
    callback: str
    """Base URL of the RefStack server; empty when none is to be called."""
    test_id: int
    attempt: int
    """0 when the run is not from a queue."""
    token: str = field(repr=False)
    """Proof of the attempt; empty for a server that needs none."""
    conf_json: Conf = field(repr=False)
    """Options that the vendor gives: of a tempest.conf, over it a cloud of clouds.yaml, JSON, accounts."""
    remark: str
    """What of the tempest.conf and the log-in that were given is not used; empty: nothing."""
    tempest_home: Path | None
    testcases: tuple[str, ...] | None
    known_tests: Path | None
    durations: Path | None
    concurrency: int
    """0: as many processes as Tempest chooses."""
    timeout: float
    """Seconds for everything up to the end of the tests; 0 is without limit."""
    prefix: str
    """Start of the names of the run's resources in the cloud; empty for Tempest's own names."""
    ca_file: str
    workdir: Path
    json_progress: bool
    keep: bool
    from_env: bool
    discover: str
    check: bool
    """Only look at the cloud: log in, find options, report what is missing."""
    cleanup_only: bool
    post_only: Path | None
    patience: float
    """Seconds to retry a server that fails."""
    stop_grace: float
    """Seconds between TERM and KILL for Tempest."""
    verbosity: int


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Read the command line.

    :raises BadInput: it is wrong.
    """
    args = argument_parser().parse_args([_with_dashes(word) for word in argv])
    callback, test_id = _callback(args)
    _check_together(args, callback)
    of_file, remark = conf_from_file(args.tempest_conf, "--tempest-conf") if args.tempest_conf else ({}, "")
    return Arguments(
        callback=callback,
        test_id=test_id,
        attempt=args.attempt,
        token=_read_token(args.token_file),
        conf_json=_conf(args, of_file),
        remark="; ".join(filter(None, (remark, unused_login(args.os_cloud, args.env, os.environ)))),
        tempest_home=args.tempest_home,
        testcases=_testcases_argument(args.testcases),
        known_tests=args.known_tests,
        durations=args.durations,
        concurrency=args.concurrency,
        timeout=args.timeout,
        prefix=args.resource_prefix,
        ca_file=args.ca_file,
        workdir=_workdir(args, test_id),
        json_progress=args.progress == "json",
        keep=args.keep,
        from_env=args.env,
        discover=args.discover,
        check=args.check,
        cleanup_only=args.cleanup_only,
        post_only=args.post_only,
        patience=args.patience,
        stop_grace=args.stop_grace,
        verbosity=(1 if args.verbose or os.environ.get("DEBUG") else 0) - (1 if args.silent else 0),
    )


def wants_json_progress(argv: Sequence[str]) -> bool:
    """Return whether events are to be JSON, also when the command line is wrong."""
    return "--progress=json" in argv or ("--progress", "json") in zip(argv, argv[1:])


class _ArgumentParser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise BadInput(f"{message}; see --help")


def argument_parser() -> argparse.ArgumentParser:
    """Return the parser; also for the manual page and shell completion."""
    parser = _ArgumentParser(
        prog="execute_test", allow_abbrev=False,
        description="Run one interoperability test: fetch, configure, run Tempest, post the result.",
        epilog="Options may be written with dashes or underscores. Exit codes: 0 passed, 1 tests failed, 2 bad input, "
        "3 cloud unreachable or rejecting, 4 Tempest failed, 5 result not posted, 6 RefStack server, 7 stopped.",
    )  # fmt: skip
    add = parser.add_argument
    add("-callback", "--callback", nargs="+", metavar=("SERVER", "TEST_ID"),
        help="RefStack server and id of the test (the id may be given with --test-id)")  # fmt: skip
    add("--url", metavar="HOST:PORT", help="RefStack server (older form); used only with --test-id")
    add("--test-id", type=_number(1, _MAX_ID), default=0, metavar="N", help="id of the test")
    add("--attempt", type=_number(1, 2**31), default=0, metavar="K", help="attempt of a queued run")
    add("--token-file", metavar="FILE", help="file with the token of the attempt")
    add("--conf-json", default="{}", metavar="JSON", help="options for tempest.conf: JSON, @FILE, or - for stdin")
    add(
        "--tempest-conf",
        metavar="FILE",
        help="tempest.conf to start from; options that each run sets itself are ignored",
    )
    add("--os-cloud", metavar="NAME", help="cloud in clouds.yaml, which is found as openstacksdk does")
    add("--accounts-file", metavar="FILE", help="accounts of the cloud: Tempest's accounts.yaml, or the same in JSON")
    add("--tempest-home", "--tempest-dir", type=Path, metavar="DIR", help="virtualenv or checkout with Tempest")
    add("--testcases", nargs="+", action="extend", metavar="TEST",
        help="names, prefixes, id-UUIDs, regex:EXPRESSION; or @FILE: one per line, or a JSON list")  # fmt: skip
    add("--known-tests", type=Path, metavar="FILE",
        help="names of all tests of this Tempest, one per line, instead of asking it")  # fmt: skip
    add("--durations", type=Path, metavar="FILE",
        help="JSON object, test name to seconds that it took before; balances the test processes")  # fmt: skip
    add("--concurrency", type=_number(0, 256), default=0, metavar="N", help="test processes (0: one for each core)")
    add("--timeout", type=_number(0, 10**7), default=0, metavar="S", help="seconds until the run is stopped (0: never)")
    add("--resource-prefix", default="", metavar="P", help="how the names of the run's resources in the cloud begin")
    add("--ca-file", default="", metavar="FILE", help="certificates to trust for the RefStack server")
    add("--workdir", type=Path, metavar="DIR", help="folder for this run's files (default: a new one here)")
    add("--progress", choices=("text", "json"), default="text", help="format of the progress on stdout")
    add("--keep", action="store_true", help="keep tempest.conf and the workspace in the work folder")
    add("-e", "--env", action="store_true",
        help="read the cloud from OS_* variables (OS_CLOUD: from clouds.yaml), not from a server")  # fmt: skip
    add("--discover", choices=DISCOVERERS, default=KEYSTONE, help="how missing options are found")
    add("--post-only", type=Path, metavar="DIR", help="post the result that an earlier call left in DIR")
    add("--check", action="store_true", help="log in and look at the cloud; report what is missing, run no test")
    add("--cleanup-only", action="store_true", help="remove resources named after --resource-prefix from the cloud")
    add("--patience", type=_number(0, 86400), default=300, metavar="S", help="seconds to retry a failing server (300)")
    add("--stop-grace", type=_seconds(60), default=2.0, metavar="S",
        help="seconds between TERM and KILL for Tempest (2)")  # fmt: skip
    add("-v", "--verbose", action="store_true", help="log more (so does DEBUG in the environment)")
    add("-s", "--silent", action="store_true", help="log errors only")
    return parser


def _number(low: int, high: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
        return int(text)

    return convert


def _seconds(high: int) -> Callable[[str], float]:
    def convert(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,6})?", text) or float(text) > high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {high}")
        return float(text)

    return convert


def _with_dashes(word: str) -> str:
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if re.match(r"-{1,2}[A-Za-z]", word) else word


def _check_together(args: argparse.Namespace, callback: str) -> None:
    if args.os_cloud and args.env:
        raise BadInput("--os-cloud and --env: use only one of them (OS_CLOUD with --env names a cloud too)")
    if args.post_only and not callback:
        raise BadInput("--post-only needs --callback SERVER TEST_ID: where the result goes")
    if args.cleanup_only and not args.resource_prefix:
        raise BadInput("--cleanup-only needs --resource-prefix: how to recognise the leftovers")
    if args.resource_prefix and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{3,63}", args.resource_prefix):
        raise BadInput("--resource-prefix: 4 to 64 letters, digits, '.', '_' or '-', the first a letter or digit")
    if not (args.post_only or args.cleanup_only or args.tempest_home):
        raise BadInput("--tempest-home DIR is missing: a virtualenv or checkout with Tempest in it")


def _callback(args: argparse.Namespace) -> tuple[str, int]:
    """Return the server and the test; of 2014's forms, too: one word and ``--test-id``, and ``--url``."""
    if args.callback and args.url:
        raise BadInput("--callback and --url: use only one of them")
    if not args.callback:
        return (base_url(args.url, "--url") if args.url and args.test_id else ""), args.test_id
    server, *ids = args.callback
    if len(ids) > 1:
        raise BadInput("--callback: SERVER and TEST_ID are expected")
    if bool(ids) == bool(args.test_id):
        raise BadInput(
            "--callback: TEST_ID is missing" if not ids else "--callback TEST_ID and --test-id: use only one"
        )
    return base_url(server, "--callback"), _test_id(ids[0]) if ids else args.test_id


def _test_id(text: str) -> int:
    try:
        return _number(1, _MAX_ID)(text)
    except argparse.ArgumentTypeError as error:
        raise BadInput(f"--callback: TEST_ID {error}") from error


def _read_token(path: str | None) -> str:
    if not path:
        return ""
    token = read_file(path, "--token-file").strip()
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]{8,512}", token):
        raise BadInput(f"--token-file: {path} does not contain one token of 8 to 512 characters")
    return token


def _conf(args: argparse.Namespace, of_file: Conf) -> Conf:
    """Return the options that the command line gives, the more special ones over the others."""
    cloud = conf_from_cloud(args.os_cloud, os.environ, "--os-cloud") if args.os_cloud else {}
    conf = check_conf(json_value(args.conf_json, "--conf-json"), "--conf-json")
    accounts = accounts_from_file(args.accounts_file, "--accounts-file") if args.accounts_file else {}
    whole = merge(of_file, cloud, conf)
    return merge(without_accounts(whole) if accounts else whole, accounts)


def _testcases_argument(entries: Sequence[str] | None) -> tuple[str, ...] | None:
    if entries is None:
        return None
    if len(entries) == 1 and entries[0].startswith("@"):
        text = read_file(entries[0][1:], "--testcases")
        if text.lstrip().startswith("["):
            return check_testcases(json_value(entries[0], "--testcases"), "--testcases")
        lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines_of(text))
        entries = [line for line in lines if line]
    return check_testcases(list(entries), "--testcases")


def _workdir(args: argparse.Namespace, test_id: int) -> Path:
    if args.post_only:
        return Path(args.post_only)
    if args.workdir:
        return Path(args.workdir).absolute()
    return Path.cwd() / f"execute_test-{test_id or 'local'}-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(2)}"
