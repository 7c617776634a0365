"""How a command line says which run is wanted, and where its passwords come from: never from itself."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from refstack_worker.cli.queue.cloud_sources import (
    add_source_options,
    check_private,
    conf_of_sources,
    login_of_environment,
    read_accounts_file,
    read_text,
)
from refstack_worker.contract import strict_json, text_lists
from refstack_worker.contract.accounts import without_accounts
from refstack_worker.contract.execute_test import DISCOVERERS, KEYSTONE
from refstack_worker.contract.limits import MAX_TEXT_BYTES
from refstack_worker.contract.payload import release_trouble
from refstack_worker.contract.secrets import is_secret_option
from refstack_worker.contract.tempest_options import with_known_sections
from refstack_worker.contract.text_files import lines_of
from refstack_worker.errors import PayloadError, UsageError

Conf = dict[str, dict[str, Any]]


def add_conf_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for Tempest's configuration and its passwords."""
    add_source_options(parser)
    parser.add_argument(
        "--conf-json", default="{}", metavar="JSON|@FILE|-",
        help="Tempest options as JSON (section, option, value); with passwords in them only as @FILE or - (stdin)",
    )  # fmt: skip
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE",
        help="file with lines SECTION.OPTION=VALUE to add to the options; only you may be able to read it",
    )  # fmt: skip
    parser.add_argument(
        "--ask-password", action="append", default=[], metavar="SECTION.OPTION",
        help="ask for this option on the terminal, e.g. identity.password; may be repeated",
    )  # fmt: skip


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is run."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--tempest-version",
        default="",
        metavar="V",
        help="exact version, e.g. 47.0.0; default: one that fits the guideline",
    )
    what.add_argument(
        "--openstack-release",
        default="",
        metavar="R",
        help="OpenStack release, e.g. 2025.1; uses the newest Tempest that supports it",
    )
    add_conf_options(parser)
    _add_test_options(parser)
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="NAME==V", help="Tempest plugin; may be repeated"
    )
    parser.add_argument(
        "--discover", choices=DISCOVERERS, default=KEYSTONE,
        help="finds Tempest options that are not set; tempestconf: python-tempestconf, on nodes that have it",
    )  # fmt: skip
    parser.add_argument(
        "--concurrency", type=int, default=0, help="test processes; default: one for each CPU core of the node"
    )
    parser.add_argument(
        "--timeout", type=int, default=0, help="time limit of the whole run in seconds; default: set by the server"
    )
    parser.add_argument(
        "--shards", type=int, default=0, metavar="N",
        help="split the run over N nodes, by test classes; default: one node runs all of it",
    )  # fmt: skip
    parser.add_argument("--tag", default="", help="run only on nodes with this tag")
    parser.add_argument("--priority", choices=("low", "normal", "high"), default="normal", help="high: operators only")
    parser.add_argument(
        "--cloud", default="", metavar="CLOUD", help="saved cloud: name or id, as 'cloud list' shows it"
    )
    parser.add_argument("--label", default="", help="display name; helps you find the run later")


def _add_test_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select tests."""
    parser.add_argument(
        "--testcases", action="append", default=[], metavar="NAME|@FILE",
        help="name of a test, module or package, or @FILE with one name per line or a JSON list; may be "
            "repeated; or the URL of a list, where operator and nodes allow it; default: set by the server",
    )  # fmt: skip
    parser.add_argument(
        "--regex", action="append", default=[], help="regular expression, searched for in test names; may be repeated"
    )
    parser.add_argument("--guideline", default="", metavar="NAME", help="interop guideline on the server, e.g. 2020.06")
    parser.add_argument("--program", default="", help="program of the guideline, e.g. 'OpenStack Powered Storage'")
    parser.add_argument("--advisory", action="store_true", help="with --guideline: run the advisory tests, too")
    parser.add_argument(
        "--all-api", action="store_true", help="with --guideline: run all API tests, and evaluate the required ones"
    )
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="NAME[=WHY]",
        help="leave out a test, class or module, with a reason that the verdict shows; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--exclude-list", action="append", default=[], type=Path, metavar="FILE",
        help="the same from a file: one name per line, the reason after #",
    )  # fmt: skip


def body_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the body of ``POST /v1/runs`` that the options of :func:`add_run_options` say."""
    if not (options.tempest_version or options.openstack_release or options.guideline):
        raise UsageError("give --tempest-version, --openstack-release, or --guideline")
    trouble = release_trouble(options.tempest_version) if options.tempest_version else ""
    if trouble:
        raise UsageError(f"--tempest-version: {trouble}")
    wanted = {
        "tempest_version": options.tempest_version,
        "openstack_release": options.openstack_release,
        "plugins": plugins_of(options.plugin),
        "testcases": testcases_of(options.testcases, options.regex),
        "guideline": _guideline(options),
        "exclude": excluded(options.exclude, options.exclude_list),
        "discover": options.discover if options.discover != KEYSTONE else "",
        "concurrency": options.concurrency,
        "timeout": options.timeout,
        "shards": options.shards,
        "tag": options.tag,
        "priority": ("low", "normal", "high").index(options.priority) - 1,
        "label": options.label,
        "conf_json": _conf_with_cloud(options),
    }
    return {name: value for name, value in wanted.items() if value}


def excluded(words: Iterable[str], files: Iterable[Path]) -> list[dict[str, str]]:
    """Return what is left out, as the API takes it."""
    lines = [text_lists.Line(*(word.partition("=")[::2])) for word in words]
    for path in files:
        lines += text_lists.parse(read_text(path), str(path))
    return [{"test": line.entry.strip(), "reason": line.remark[:200]} for line in lines]


def _guideline(options: argparse.Namespace) -> dict[str, Any]:
    if bool(options.guideline) != bool(options.program):
        raise UsageError("give --guideline and --program together ('refstack-queue guideline list' shows them)")
    if options.advisory and not options.guideline:
        raise UsageError("--advisory: needs --guideline and --program")
    if options.all_api and not options.guideline:
        raise UsageError("--all-api: needs --guideline and --program; without, use --regex '^tempest\\.api\\.'")
    named: dict[str, Any] = {"name": options.guideline, "program": options.program} if options.guideline else {}
    more = {**({"tests": "api"} if options.all_api else {}), **({"advisory": True} if options.advisory else {})}
    return {**named, **more}


def conf_of(options: argparse.Namespace, ask: Callable[[str], str] = getpass.getpass) -> Conf:
    """Return Tempest's options with the passwords put in; the more direct option wins.

    :raises UsageError: something is malformed, or a password stands on the command line.
    """
    conf = conf_of_sources(options)
    for section, values in _conf_json(options.conf_json).items():
        conf.setdefault(section, {}).update(values)
    add_passwords(conf, options.password_file)
    if options.accounts_file is not None:
        conf = {**without_accounts(conf), **read_accounts_file(options.accounts_file)}
    if options.ask_password and not sys.stdin.isatty():
        raise UsageError("--ask-password: no terminal to ask on; use --password-file")
    _put(conf, ((name, ask(f"{name}: ")) for name in options.ask_password))
    return conf


def _conf_with_cloud(options: argparse.Namespace) -> Conf:
    """Return the options of a new run; where nothing names a cloud, that of the OS_* variables."""
    conf = conf_of(options)
    identity = conf.get("identity", {})
    if options.cloud or identity.get("uri_v3") or identity.get("uri"):
        return conf
    found = login_of_environment()
    for section, values in conf.items():
        found.setdefault(section, {}).update(values)
    return found


def add_passwords(conf: Conf, path: Path | None) -> None:
    """Add what a password file holds to options. :raises UsageError: others can read it, or it is malformed."""
    if path is not None:
        _put(conf, _password_lines(path))


def testcases_of(names: Sequence[str], regexes: Iterable[str]) -> dict[str, Any]:
    """Return names and expressions as the API takes them; ``@FILE`` is read, one name a line, ``#`` begins a remark."""
    found: list[str] = []
    urls = [name for name in names if name.startswith(("http://", "https://"))]
    for name in names:
        found += _lines(Path(name[1:])) if name.startswith("@") else [name] if name not in urls else []
    if names and not found and not urls:
        raise UsageError(f"--testcases {' '.join(names)}: names no test; leave it out for the server's default")
    if len(urls) > 1:
        raise UsageError("--testcases: only one list can be given as a URL")
    given = {"names": found, "regexes": list(regexes), "url": "".join(urls)}
    return {key: values for key, values in given.items() if values}


def plugins_of(words: Iterable[str]) -> dict[str, str]:
    """Return name to version of words ``NAME==VERSION``; whether it is an exact version the server says."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, version = word.partition("==")
        if not name or not equals or not version:
            raise UsageError(f"--plugin {word!r}: write NAME==VERSION, e.g. keystone-tempest-plugin==0.22.0")
        found[name.strip()] = version.strip()
    return found


def _conf_json(text: str) -> Conf:
    where = "--conf-json"
    is_hidden = text == "-" or text.startswith("@")
    if text == "-":
        text = sys.stdin.read(MAX_TEXT_BYTES + 1).removeprefix("\ufeff")
        if len(text) > MAX_TEXT_BYTES:
            raise UsageError(f"{where}: stdin is larger than {MAX_TEXT_BYTES} bytes")
    elif text.startswith("@"):
        where, text = text[1:], read_text(Path(text[1:]))
    try:
        value = strict_json.loads(text, where)
    except PayloadError as error:
        raise UsageError(str(error)) from None
    if not isinstance(value, dict) or not all(isinstance(section, dict) for section in value.values()):
        raise UsageError(f'{where}: expected sections of options, e.g. {{"identity": {{"uri_v3": "https://…"}}}}')
    if not is_hidden:
        _check_no_secret(value)
    try:
        return with_known_sections(value)
    except PayloadError as error:
        raise UsageError(f"{where}: {str(error).removeprefix('payload: ')}") from None


def _check_no_secret(conf: Mapping[str, Mapping[str, Any]]) -> None:
    for section, values in conf.items():
        for option in values:
            if is_secret_option(option):
                raise UsageError(
                    f"--conf-json: {section}.{option} would be readable by other users on the command line; give "
                    "the options as @FILE or on stdin (-), or this one with --password-file or --ask-password"
                )


def _password_lines(path: Path) -> Iterable[tuple[str, str]]:
    text = read_text(path)
    check_private(path)
    for number, line in enumerate(lines_of(text), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, equals, value = line.partition("=")
            if not equals:
                raise UsageError(f"{path}:{number}: expected a line SECTION.OPTION=VALUE")
            yield name.strip(), value.strip()


def _put(conf: Conf, passwords: Iterable[tuple[str, str]]) -> None:
    for name, value in passwords:
        section, dot, option = name.partition(".")
        if not dot or not section or not option:
            raise UsageError(f"{name[:80]!r}: write SECTION.OPTION, e.g. identity.password")
        conf.setdefault(section, {})[option] = value


def _lines(path: Path) -> list[str]:
    return [line.entry for line in text_lists.parse(read_text(path), str(path))]
