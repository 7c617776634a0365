"""What people give: files, JSON, the environment, each as Tempest options."""

from __future__ import annotations

import contextlib
import json
import os
import re
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refstack_worker.contract.accounts import account_sections
from refstack_worker.contract.accounts_yaml import read_accounts_yaml
from refstack_worker.contract.clouds_yaml import conf_of_cloud, unused_in_cloud
from refstack_worker.contract.limits import MAX_TEXT_BYTES
from refstack_worker.contract.openrc import conf_of_openrc, unused_in_openrc
from refstack_worker.contract.tempest_conf_file import is_set_by_execute_test, read_tempest_conf
from refstack_worker.contract.text_files import decode_text, read_limited
from refstack_worker.execute_test.failures import BadInput
from refstack_worker.execute_test.tempest.conf import Conf, check_conf, is_true, merge

_FILES = (
    ("identity", "ca_certificates_file"),
    ("scenario", "img_file"),
    ("image", "images_manifest_file"),
)
"""Options that name a file of this machine; Tempest works in another folder."""

_TEMPEST_CONF = re.compile(r"(?m)^\[[A-Za-z_-]+\]\s*$")


def read_file(path: str, where: str) -> str:
    """Return the text of a file; without a byte order mark.

    :param where: the option that names it.
    :raises BadInput: it cannot be read.
    """
    try:
        return decode_text(read_limited(Path(path)))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{where}: {path} cannot be read: {error}") from error


def _standard_input(where: str) -> str:
    text = sys.stdin.read(MAX_TEXT_BYTES + 1)
    if len(text) > MAX_TEXT_BYTES:
        raise BadInput(f"{where}: stdin is larger than {MAX_TEXT_BYTES} bytes")
    return text


def json_value(text: str, where: str) -> Any:
    """Return the value of a JSON argument: the text itself, ``@FILE``, or ``-`` for standard input.

    :raises BadInput: it is not JSON.
    """
    source = ""
    if text == "-":
        source, text = "stdin is ", _standard_input(where)
    elif text.startswith("@"):
        source, text = f"{text[1:]} is ", read_file(text[1:], where)
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        # the text may hold a password: give the position, never the content
        at = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        hint = "; a tempest.conf is given by --tempest-conf" if _TEMPEST_CONF.search(text) else ""
        raise BadInput(f"{where}: {source}not JSON{at}{hint}") from None


def accounts_from_file(path: str, where: str) -> Conf:
    """Return the accounts of an ``accounts.yaml`` as sections of options.

    :raises BadInput: it cannot be read, or is not one.
    """
    try:
        return check_conf(account_sections(read_accounts_yaml(read_file(path, where))), where)
    except ValueError as error:
        raise BadInput(f"{where}: {path}: {error}") from None


def conf_from_file(path: str, where: str) -> tuple[Conf, str]:
    """Return the options of a ``tempest.conf`` and a sentence about what was left out of it.

    The accounts file that it names is read too, as Tempest finds it: from the folder of the call, else beside the
    ``tempest.conf``.

    :raises BadInput: a file cannot be read, or is not what it should be.
    """
    try:
        read = read_tempest_conf(read_file(path, where), is_set_by_execute_test)
    except ValueError as error:
        raise BadInput(f"{where}: {path}: {error}") from None
    conf = check_conf(read.conf, where)
    if read.accounts_file:
        beside = Path(path).parent / read.accounts_file
        accounts = read.accounts_file if Path(read.accounts_file).exists() or not beside.exists() else str(beside)
        conf.update(accounts_from_file(accounts, f"{where}: auth.test_accounts_file"))
    return conf, read.remark


def conf_from_cloud(name: str, environ: Mapping[str, str], where: str) -> Conf:
    """Return a cloud of ``clouds.yaml`` as options. :raises BadInput: it cannot be used."""
    try:
        return check_conf(conf_of_cloud(name, environ), where)
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from None


def conf_from_environment(environ: Mapping[str, str]) -> Conf:
    """Return configuration from the ``OS_*`` variables that OpenStack's clients read; ``OS_CLOUD`` names a cloud.

    :raises BadInput: a required variable is missing.
    """
    if environ.get("OS_CLOUD"):
        conf = conf_from_cloud(environ["OS_CLOUD"], environ, "--env: OS_CLOUD")
    else:
        try:
            conf = check_conf(conf_of_openrc(environ), "--env")
        except ValueError as error:
            raise BadInput(f"--env: {error}") from None
    image = environ.get("TEMPEST_IMAGE_REF")
    return merge(conf, {"compute": {"image_ref": image}}) if image else conf


def unused_login(os_cloud: str, from_env: bool, environ: Mapping[str, str]) -> str:
    """Return what a named cloud, or the ``OS_*`` variables, set and Tempest does not use; empty if there is nothing."""
    name = os_cloud or (environ.get("OS_CLOUD", "") if from_env else "")
    remarks = [unused_in_openrc(environ)] if from_env else []
    with contextlib.suppress(ValueError):  # the cloud cannot be read: that ends the run with a sentence of its own
        remarks += [unused_in_cloud(name, environ)] if name else []
    return "; ".join(filter(None, remarks))


def with_absolute_paths(conf: Conf) -> Conf:
    """Return options with the files that they name as absolute paths, from the folder of the call.

    :raises BadInput: the certificates are not there.
    """
    changed = merge(conf)
    for section, option in _FILES:
        value = str(changed.get(section, {}).get(option) or "")
        path = os.path.abspath(os.path.expanduser(value))
        if value and os.path.exists(path):
            changed[section][option] = path
        elif value and option == "ca_certificates_file":
            raise BadInput(f"{section}.{option}: there is no file {path}")
    _check_certificates(changed.get("identity", {}))
    return changed


def _check_certificates(identity: Mapping[str, Any]) -> None:
    """Reject a file without certificates: the cloud's own would be blamed for it.

    :raises BadInput: a cloud with https is to be checked by such a file.
    """
    path = str(identity.get("ca_certificates_file") or "")
    address = str(identity.get("uri_v3") or identity.get("uri") or "").strip().lower()
    is_unchecked = is_true(identity.get("disable_ssl_certificate_validation", ""))
    if is_unchecked or not address.startswith("https:") or not path:
        return
    if not os.path.isfile(path):
        # with a folder the log-in here would work, and Tempest's own would fail
        raise BadInput(f"identity.ca_certificates_file: {path} is not a regular file; Tempest takes one file with all "
                       "certificates (PEM)")  # fmt: skip
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:
        what = "holds no valid certificates (PEM)" if isinstance(error, ssl.SSLError) else "cannot be read"
        raise BadInput(f"identity.ca_certificates_file: {path} {what}: {error}") from error
