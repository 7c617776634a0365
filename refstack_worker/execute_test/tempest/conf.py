"""Tempest's configuration: merged from layers, checked, written and read back."""

from __future__ import annotations

import configparser
import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from refstack_worker.contract.tempest_conf_file import section_name
from refstack_worker.execute_test.failures import BadInput, CloudFailure
from refstack_worker.execute_test.log import SECRETS

Conf = dict[str, dict[str, Any]]
"""Section → option → string, number, boolean, or a list of those."""

KEYSTONE_VERSION = "v3"
COMMON_CONF: Conf = {"identity": {"auth_version": KEYSTONE_VERSION}}
"""Values for every cloud, unless the server or the vendor sets others."""

RENAMED_OPTIONS = {
    ("identity", "admin_username"): ("auth", "admin_username"),
    ("identity", "admin_password"): ("auth", "admin_password"),
    ("identity", "admin_tenant_name"): ("auth", "admin_project_name"),
    ("identity", "admin_project_name"): ("auth", "admin_project_name"),
    ("identity", "admin_domain_name"): ("auth", "admin_domain_name"),
    ("auth", "admin_tenant_name"): ("auth", "admin_project_name"),
    ("identity", "tenant_name"): ("identity", "project_name"),
    ("identity", "alt_tenant_name"): ("identity", "alt_project_name"),
    ("auth", "allow_tenant_isolation"): ("auth", "use_dynamic_credentials"),
    ("compute", "allow_tenant_isolation"): ("auth", "use_dynamic_credentials"),
}
"""Options that a server of 2014 sends, and where today's Tempest has them."""

_OF_A_USER = ("username", "user_id", "password", "project_name", "project_id", "domain_name", "domain_id",
              "user_domain_name", "user_domain_id", "project_domain_name", "project_domain_id")  # fmt: skip
USER_OPTIONS = tuple(f"{who}{what}" for who in ("", "alt_") for what in _OF_A_USER)
"""Options of ``[identity]`` that Tempest dropped: ordinary users are in an accounts file now."""

_CONF_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,79}")


def check_conf(value: Any, where: str) -> Conf:
    """Return configuration from outside, with its shape checked and older names replaced.

    Sections are named as oslo.config reads them: what is looked for in ``compute`` may stand in ``Compute``.

    :raises BadInput: it is not section → option → plain value of one line, or has an option in two spellings.
    """
    if not isinstance(value, dict):
        raise BadInput(f"{where}: not a JSON object of section → option → value")
    conf: Conf = {}
    spelt: dict[tuple[str, str], str] = {}
    for given, options in value.items():
        section = section_name(given)
        if not _CONF_NAME.fullmatch(given) or not isinstance(options, dict):
            raise BadInput(f"{where}: section {given[:80]!r}: not a name with an object of options")
        for option, setting in options.items():
            if not _CONF_NAME.fullmatch(option) or not is_plain(setting):
                raise BadInput(f"{where}: {section}.{option[:80]}: not an option with a value of one line")
            if not _is_text(setting):
                raise BadInput(f"{where}: {section}.{option[:80]}: not valid UTF-8; save it as UTF-8, or use a "
                               "terminal with this encoding")  # fmt: skip
            if (other := spelt.setdefault((section, option), given)) != given:
                raise BadInput(f"{where}: {option} is set in the sections {other} and {given}, which are one; keep one")
            into, name = RENAMED_OPTIONS.get((section, option), (section, option))
            # a blank at its end, as openrc files have, would be written for Tempest in quotes
            is_region = name == "region" and isinstance(setting, str)
            conf.setdefault(into, {}).setdefault(name, setting.strip() if is_region else setting)
    SECRETS.add_conf(conf)
    return conf


def is_plain(value: Any) -> bool:
    """Return whether a value fits on one line of ``tempest.conf``, and so cannot begin another."""
    if isinstance(value, list):
        return all(not isinstance(item, list) and is_plain(item) for item in value)
    if isinstance(value, str):
        return not re.search(r"[\x00\n\r]", value)
    return value is None or isinstance(value, (bool, int, float))


def _is_text(value: Any) -> bool:
    """Return whether a value can be written: Python keeps bytes in another encoding as halves of characters."""
    try:
        "".join(map(str, value if isinstance(value, list) else [value])).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def merge(*layers: Mapping[str, Mapping[str, Any]]) -> Conf:
    """Lay configurations on top of each other, the last one uppermost; ``None`` sets nothing."""
    merged: Conf = {}
    for layer in layers:
        for section, options in layer.items():
            values = {option: value for option, value in options.items() if value is not None}
            merged.setdefault(section, {}).update(values)
    return merged


def is_true(value: Any) -> bool:
    """Return whether an option is on, as oslo.config reads it."""
    return str(value).strip().lower() in ("true", "1", "yes", "on")


def without_users(conf: Mapping[str, Mapping[str, Any]]) -> Conf:
    """Return a copy without the options of ordinary users."""
    copy = merge(conf)
    for option in USER_OPTIONS:
        copy.get("identity", {}).pop(option, None)
    return copy


def write_conf(path: Path, conf: Mapping[str, Mapping[str, Any]]) -> None:
    """Write ``tempest.conf``, readable by its owner only.

    :raises CloudFailure: a value would begin a line of its own. What comes from outside was checked before, so the
        cloud has given it.
    """
    lines: list[str] = []
    for section, options in conf.items():
        for option in (name for name, value in options.items() if not is_plain(value)):
            raise CloudFailure(f"{section}.{option}: the cloud's value has more than one line")
    for section in sorted(conf):
        lines.append(f"[{section}]")
        lines += [f"{option} = {written_value(value)}" for option, value in sorted(conf[section].items())]
    with open_private(path) as file:
        file.write("\n".join(lines) + "\n")


def read_conf(path: Path) -> Conf:
    reader = configparser.RawConfigParser(strict=False, default_section="\0", interpolation=None)
    reader.optionxform = str  # type: ignore[assignment,method-assign]
    reader.read(path, encoding="utf-8")
    return {section: {option: read_value(value) for option, value in reader.items(section)}
            for section in reader.sections()}  # fmt: skip


def open_private(path: Path) -> IO[str]:
    """Open a new file that only its owner can read."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


def written_value(value: Any) -> str:
    """Return a value as oslo.config reads it."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return ",".join(written_value(item) for item in value)
    # oslo.config: $ begins a substitution; outer blanks and one pair of outer quotes are removed
    text = str(value)
    if "\\$" in text:
        raise BadInput("an option or password with a backslash before a dollar sign cannot be written for Tempest; "
                       "use another password")  # fmt: skip
    text = text.replace("$", "$$")
    return f'"{text}"' if text != text.strip() or (text[:1] in "'\"" and text[:1] == text[-1:]) else text


def read_value(text: str) -> str:
    """Return the value that :func:`written_value` wrote as this text."""
    if len(text) > 1 and text[0] in "'\"" and text[0] == text[-1]:
        text = text[1:-1]
    return text.replace("$$", "$")
