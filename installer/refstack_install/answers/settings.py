"""Every setting of the answers: name, type, default and accepted form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

ENVIRONMENT_PREFIX = "REFSTACK_INSTALL_"

_VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[a-z0-9.]+)?(-[a-z][a-z0-9-]*)?\Z")
"""``47.0.0``, of a commit ``47.0.1.dev5+g1a2b3c4``, with plugins ``43.0.0-heat-keystone``."""
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?\Z")
_SERVER = re.compile(r"https?://[^\s@?#]+\Z")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*\Z")
_PACKAGE_VERSION = re.compile(r"([0-9][A-Za-z0-9.+:~^_-]*)?\Z")
_NODE_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})?\Z")
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}\Z")
_SUITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]*\Z")
_FINGERPRINT = re.compile(r"([0-9A-F]{40}|[0-9A-F]{64})\Z")


@dataclass(frozen=True)
class Setting:
    """One setting of the answers."""

    name: str
    default: Any
    """Its type is the setting's type."""
    help: str
    question: str = ""
    """Prompt on a terminal when there is no answer yet; empty: never asked."""
    required: bool = False
    pattern: re.Pattern[str] | None = None
    replaced_by: str = ""
    """A setting that makes this one needless."""

    @property
    def requirement(self) -> str:
        """Whether an answer is needed, in words; empty: it is not."""
        if not self.required:
            return ""
        return f"required unless {self.replaced_by} is given" if self.replaced_by else "required"


SETTINGS = (
    Setting(
        "repository.url",
        "",
        "base URL of the package repository (apt/ and yum/ lie below it): http, https or a folder",
        "Package repository URL",
    ),
    Setting("repository.suite", "stable", "apt suite", pattern=_SUITE),
    Setting("repository.component", "main", "apt component", pattern=_SUITE),
    Setting("repository.key", "", "file or URL of the repository's public key; default: the key beside apt/ and yum/"),
    Setting(
        "repository.fingerprint",
        [],
        "fingerprints of the keys to trust (40 or 64 hex digits); required when the key comes from a URL or a bundle",
        pattern=_FINGERPRINT,
    ),
    Setting("bundle.file", "", "signed bundle with packages, wheels and key, for sites without internet"),
    Setting(
        "packages.version",
        "",
        "exact version of refstack-worker, e.g. 0.1.0-1; default: keep the installed one, else install the newest",
        pattern=_PACKAGE_VERSION,
    ),
    Setting("packages.upgrade", False, "upgrade as soon as the repository offers a newer version"),
    Setting("packages.extra", [], "additional packages from this repository", pattern=_PACKAGE),
    Setting("packages.lock_timeout", 120, "seconds to wait for the package manager's lock"),
    Setting(
        "tempest.versions",
        [],
        "Tempest versions that this node runs, e.g. 47.0.0; with plugins by the name of the package, e.g. 43.0.0-heat",
        "Tempest versions (separated by commas)",
        True,
        _VERSION,
    ),
    Setting("tempest.only", False, "remove Tempest versions that are not listed"),
    Setting("tempest.warm", True, "fill the environment store before the node takes its first run"),
    Setting(
        "gearman.servers",
        [],
        "gearmand servers, host or host:port",
        "gearmand servers (host or host:port, separated by commas)",
        True,
        _ADDRESS,
    ),
    Setting(
        "server.urls",
        [],
        "RefStack servers whose runs this node accepts, e.g. https://refstack.example",
        "RefStack server URL",
        True,
        _SERVER,
    ),
    Setting(
        "server.ca_file",
        "",
        "PEM file on the node, of the CA that signed the server's certificate; not below /home or /root",
    ),
    Setting(
        "node.name",
        "",
        "name of the node, of letters, digits, '.', '_' and '-'; default: its host name",
        pattern=_NODE_NAME,
    ),
    Setting("node.slots", 0, "number of concurrent runs; 0: the worker's default"),
    Setting("node.tags", [], "routing tags of the node, of lower-case letters, digits, '.', '_' and '-'", pattern=_TAG),
    Setting(
        "keys.fleet",
        "",
        "the fleet's private key: a file, or env:NAME",
        "Fleet key file",
        True,
        replaced_by="keys.enrolment",
    ),
    Setting(
        "keys.servers",
        "",
        "the server's public keys: a file, or env:NAME",
        "Server public key file",
        True,
        replaced_by="keys.enrolment",
    ),
    Setting(
        "keys.enrolment",
        "",
        "in place of the keys: a token that works once ('refstack-queue worker enrol'): a file, or env:NAME",
    ),
    Setting("service.enable", True, "enable the worker's units"),
    Setting("service.start", True, "start the units and wait until the worker is registered"),
    Setting("preflight.disk_mb", 2048, "required free space below /var, in MiB"),
    Setting("preflight.memory_mb", 512, "required memory of the machine, in MiB"),
    Setting("preflight.services", True, "require that gearmand and the server answer; turn off for golden images"),
    Setting("preflight.clock", True, "require that the clock agrees with the server's within 30 s"),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}
