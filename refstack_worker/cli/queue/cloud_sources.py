"""Where a command line takes a cloud and its users from: clouds.yaml, an openrc file's variables, a tempest.conf."""

from __future__ import annotations

import argparse
import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refstack_worker.contract import text_lists
from refstack_worker.contract.accounts import account_sections
from refstack_worker.contract.accounts_yaml import read_accounts_yaml
from refstack_worker.contract.clouds_yaml import conf_of_cloud, unused_in_cloud
from refstack_worker.contract.keystone_address import shown_malformed
from refstack_worker.contract.openrc import conf_of_openrc, unused_in_openrc
from refstack_worker.contract.tempest_conf_file import read_tempest_conf
from refstack_worker.contract.tempest_options import FORBIDDEN_SECTIONS, is_the_nodes
from refstack_worker.contract.text_files import read_limited
from refstack_worker.errors import UsageError

LOG = logging.getLogger(__name__)
Conf = dict[str, dict[str, Any]]


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a cloud and its users."""
    parser.add_argument(
        "--os-cloud", default="", metavar="NAME",
        help="cloud and user of this name in clouds.yaml, which is found as the command 'openstack' does",
    )  # fmt: skip
    parser.add_argument(
        "-e", "--env", action="store_true", help="cloud and user from the OS_* variables of an openrc file"
    )
    parser.add_argument(
        "--tempest-conf", type=Path, metavar="FILE",
        help="options of this tempest.conf; those that each node sets itself are ignored and listed",
    )  # fmt: skip
    parser.add_argument(
        "--accounts-file", type=Path, metavar="FILE",
        help="accounts of the cloud for the tests: Tempest's accounts.yaml; only you may be able to read it",
    )  # fmt: skip


def conf_of_sources(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Conf:
    """Return the Tempest options that the options of :func:`add_source_options` lead to.

    :raises UsageError: a source cannot be read, or Tempest cannot log in with what it holds.
    """
    conf = _tempest_conf(options.tempest_conf) if options.tempest_conf is not None else {}
    for section, values in _login(options, environ).items():
        conf.setdefault(section, {}).update(values)
    return conf


def login_of_environment(environ: Mapping[str, str] = os.environ) -> Conf:
    """Return the cloud that ``OS_CLOUD`` or the variables of an openrc file name; empty: they name none.

    :raises UsageError: it cannot be used.
    """
    if not (environ.get("OS_CLOUD") or environ.get("OS_AUTH_URL")):
        return {}
    conf = _environment(environ)
    LOG.warning("The cloud is taken from the OS_* variables: %s", shown_malformed(conf["identity"]["uri_v3"]))
    return conf


def read_accounts_file(path: Path, where: str = "--accounts-file") -> Conf:
    """Return the accounts of a file as sections of options. :raises UsageError: others can read it, or malformed."""
    text = read_text(path)
    check_private(path)
    try:
        return account_sections(read_accounts_yaml(text))
    except ValueError as error:
        raise UsageError(f"{where}: {path}: {error}") from None


def read_text(path: Path) -> str:
    """Return the text of a file. :raises UsageError: it cannot be read, or is not UTF-8."""
    try:
        return text_lists.decode(read_limited(path), str(path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


def check_private(path: Path) -> None:
    """Refuse a file with passwords that others can read. :raises UsageError: they can."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise UsageError(f"{path}: others can read it; run 'chmod 600 {path}'")


def _login(options: argparse.Namespace, environ: Mapping[str, str]) -> Conf:
    if options.os_cloud and options.env:
        raise UsageError("--os-cloud and --env: use only one of them")
    if options.env:
        return _environment(environ)
    if not options.os_cloud:
        return {}
    try:
        return _of_cloud(options.os_cloud, environ)
    except ValueError as error:
        raise UsageError(f"--os-cloud: {error}") from None


def _environment(environ: Mapping[str, str]) -> Conf:
    try:
        # as for OpenStack's own client, a cloud that is named counts more than the variables of an openrc file
        named = environ.get("OS_CLOUD")
        conf = _of_cloud(named, environ) if named else _without_the_nodes(conf_of_openrc(environ))
    except ValueError as error:
        raise UsageError(f"--env: {error}") from None
    _warn_of_unused(unused_in_openrc(environ))
    return conf


def _of_cloud(name: str, environ: Mapping[str, str]) -> Conf:
    conf = _without_the_nodes(conf_of_cloud(name, environ))
    _warn_of_unused(unused_in_cloud(name, environ))
    return conf


def _warn_of_unused(sentence: str) -> None:
    if sentence:
        LOG.warning("%s.", sentence)


def _without_the_nodes(conf: Conf) -> Conf:
    """Leave out the path of the certificates: it is one of this machine, and the run is carried out on a node."""
    if conf["identity"].pop("ca_certificates_file", None):
        LOG.warning("The CA file is not sent: a run trusts the certificates of its node.")
    return conf


def _tempest_conf(path: Path) -> Conf:
    try:
        found = read_tempest_conf(read_text(path), _is_left_out)
    except ValueError as error:
        raise UsageError(f"--tempest-conf: {path}: {error}") from None
    if found.left_out:
        LOG.warning("%s: ignored, because each node sets them: %s", path, ", ".join(found.left_out))
    conf: Conf = {section: dict(values) for section, values in found.conf.items()}
    if found.accounts_file:
        conf.update(read_accounts_file(path.parent / found.accounts_file, f"{path}: auth.test_accounts_file"))
    return conf


def _is_left_out(section: str, option: str) -> bool:
    return section.lower() in FORBIDDEN_SECTIONS or is_the_nodes(section, option)
