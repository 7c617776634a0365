"""Which Tempest options a run may set.

A vendor chooses what is tested and how, never where the node writes, which files it reads or what it executes. The
option names are those of Tempest's and oslo's configuration references.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from refstack_worker.contract.limits import MAX_SECRET_CHARACTERS, MAX_SECRETS
from refstack_worker.contract.secrets import secret_values
from refstack_worker.contract.tempest_conf_file import section_name
from refstack_worker.errors import PayloadError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,79}\Z")

FORBIDDEN: Mapping[str, frozenset[str]] = {
    "DEFAULT": frozenset(
        {
            "log_config",
            "log_config_append",
            "log_dir",
            "logdir",
            "log_file",
            "logfile",
            "log_file_path",
            "watch_log_file",
            "use_syslog",
            "use_journal",
            "use_eventlog",
            "syslog_log_facility",
            "use_json",
            "publish_errors",
            "config_file",
            "config_dir",
            "config_source",
            "state_path",
            "debug_tcp",
            "pid_file",
            "resource_name_prefix",
            "record_resources",
            "use_stderr",
            "log_rotation_type",
        }
    ),
    "oslo_concurrency": frozenset({"lock_path", "disable_process_locking"}),
    "auth": frozenset({"test_accounts_file"}),
    "identity": frozenset({"ca_certificates_file"}),
    "service-clients": frozenset({"proxy_url"}),
    "scenario": frozenset({"img_dir", "img_file", "ami_img_file", "ari_img_file", "aki_img_file", "dhcp_client"}),
    "image": frozenset({"http_image", "images_manifest_file"}),
    "debug": frozenset({"trace_requests"}),
    "profiler": frozenset({"key"}),
}
"""Section to options that only the node sets: paths, logs, locks, and what a run is known by in the cloud."""

FORBIDDEN_SECTIONS = frozenset({"config_driver", "oslo_reports", "cli", "stress", "boto"})
"""Sections that say what to execute or read on the node; the last three are those of old Tempests."""

_OF_THE_NODE = re.compile(
    r"(?:.*_)?(?:(?:ca|cert|key|log|lock)?files?|filename|(?:base|data|home|log|work)?dirs?|directory|folder|paths?"
    r"|cmd|command|executable|binary|program|socket"
    # names of plugins' options: a template, a key or a certificate that is read, a proxy that gets the passwords
    r"|ya?ml|json|config_env|kubeconfig|cacert|ca_bundle|private_key|proxy_url)\Z"
)
"""Names of options that refer to a path or a program on the node, whether Tempest or a plugin defines them."""

_OF_THE_GUEST = frozenset({("scenario", "target_dir")})
"""Options that sound so and mean a place in a server of the vendor's cloud."""


def check(conf_json: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse options that no vendor may set and names or values that would break out of their line.

    :raises PayloadError: naming section and option, never the value.
    """
    for section, values in conf_json.items():
        if not _NAME.match(section) or section.lower() in FORBIDDEN_SECTIONS:
            raise PayloadError(f"payload: conf_json: the section {section[:80]!r} is not allowed")
        for option, value in values.items():
            _check_option(section, option, value)
    secrets = secret_values(conf_json)
    if len(secrets) > MAX_SECRETS or sum(map(len, secrets)) > MAX_SECRET_CHARACTERS:
        raise PayloadError(
            f"payload: conf_json: too many passwords, tokens and keys: at most {MAX_SECRETS} values with "
            f"{MAX_SECRET_CHARACTERS} characters in all"
        )


def as_oslo_reads(section: str, option: str) -> tuple[str, str]:
    """Return section and option in the one spelling that stands for all.

    oslo.config reads ``[Auth]`` as ``[auth]``, and ``-`` in names as ``_``.
    """
    return section_name(section), option.replace("-", "_").replace(".", "_").lower()


def with_known_sections(conf_json: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return options with their sections as oslo.config reads them: ``Compute`` is ``compute``.

    An option is then found where it is looked for, and a later layer wins over it.

    :raises PayloadError: an option is set in two spellings of its section.
    """
    found: dict[str, dict[str, Any]] = {}
    for section, values in conf_json.items():
        known = found.setdefault(section_name(section), {})
        for option in values:
            if option in known:
                raise PayloadError(
                    f"payload: conf_json.{section}.{option}: is set in two spellings of the section; keep one"
                )
        known.update(values)
    return found


def is_the_nodes(section: str, option: str) -> bool:
    """Return whether an option is the node's alone to set, however it is spelt."""
    group, name = as_oslo_reads(section, option)
    if (group, name) in _OF_THE_GUEST:
        return False
    return name in FORBIDDEN.get(group, frozenset()) or _OF_THE_NODE.match(name) is not None


def _check_option(section: str, option: str, value: Any) -> None:
    if not _NAME.match(option):
        raise PayloadError(f"payload: conf_json.{section}: the option {option[:80]!r} is not allowed")
    if is_the_nodes(section, option):
        raise PayloadError(f"payload: conf_json.{section}.{option}: only the node may set this option")
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str) and any(mark in item for mark in "\n\r\0"):
            raise PayloadError(f"payload: conf_json.{section}.{option}: a value must be one line")
