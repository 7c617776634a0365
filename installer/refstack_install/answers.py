"""What the installer is told: flags before the environment, before the answers file, before the questions."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refstack_install import toml
from refstack_install.errors import AnswersError

ENVIRONMENT_PREFIX = "REFSTACK_INSTALL_"

_VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?\Z")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?\Z")
_SERVER = re.compile(r"https?://[^\s@?#]+\Z")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*\Z")
_PACKAGE_VERSION = re.compile(r"([0-9][A-Za-z0-9.+:~^_-]*)?\Z")
_NODE_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})?\Z")
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}\Z")
_FINGERPRINT = re.compile(r"([0-9A-F]{40}|[0-9A-F]{64})?\Z")


@dataclass(frozen=True)
class Setting:
    """One thing that can be answered."""

    name: str
    default: Any
    """Its type is the setting's type."""
    help: str
    question: str = ""
    """Asked on a terminal when nobody gave it; empty: never asked."""
    needed: bool = False
    form: re.Pattern[str] | None = None


SETTINGS = (
    Setting(
        "repository.url",
        "",
        "base address of the packages (apt/ and yum/ below it): http(s) or a folder",
        "Package repository URL",
    ),
    Setting("repository.suite", "stable", "apt suite"),
    Setting("repository.component", "main", "apt component"),
    Setting("repository.key", "", "file or URL of its public key; empty: the one that lies beside it"),
    Setting(
        "repository.fingerprint",
        "",
        "of that key, hex; a must when the key comes from a URL or a bundle",
        form=_FINGERPRINT,
    ),
    Setting("bundle.file", "", "signed file with packages, wheels and key, for sites without internet (--bundle)"),
    Setting(
        "packages.version",
        "",
        "exact version of refstack-worker; empty: what the repository offers first",
        form=_PACKAGE_VERSION,
    ),
    Setting("packages.upgrade", False, "go on to a newer version as soon as the repository offers one"),
    Setting("packages.extra", [], "further packages of this repository", form=_PACKAGE),
    Setting("packages.lock_timeout", 120, "seconds to wait for the package manager's lock"),
    Setting(
        "tempest.versions",
        [],
        "Tempest versions that this node runs",
        "Tempest versions (comma between)",
        True,
        _VERSION,
    ),
    Setting("tempest.only", False, "remove the versions that are not named"),
    Setting("tempest.warm", True, "make the environments' store warm before the node takes its first run"),
    Setting(
        "gearman.servers",
        [],
        "gearmand, host or host:port",
        "gearmand (host or host:port, comma between)",
        True,
        _ADDRESS,
    ),
    Setting("server.urls", [], "RefStack servers that runs may come from", "RefStack server URL", True, _SERVER),
    Setting("server.ca_file", "", "PEM file of the authority that signed the server's certificate; it is not copied"),
    Setting("node.name", "", "how the node calls itself; empty: its host name", form=_NODE_NAME),
    Setting("node.slots", 0, "runs side by side; 0: the worker's own default"),
    Setting("node.tags", [], "routing tags of the node", form=_TAG),
    Setting("keys.fleet", "", "the fleet's private key: a file, or env:NAME", "Fleet key file", True),
    Setting("keys.servers", "", "the server's public keys: a file, or env:NAME", "Server's public key file", True),
    Setting("service.enable", True, "enable the worker's units"),
    Setting("service.start", True, "start them and wait until the worker is registered"),
    Setting("preflight.disk_mb", 2048, "free MiB that must be left below /var"),
    Setting("preflight.memory_mb", 512, "MiB of memory that the machine must have"),
    Setting("preflight.services", True, "gearmand and the server must answer; off for golden images"),
    Setting("preflight.clock", True, "the clock must agree with the server's to 30 s"),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True)
class Answers:
    """All the settings, checked."""

    values: Mapping[str, Any]
    configuration: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Sections that go into the worker's configuration as they are."""

    def text(self, name: str) -> str:
        """Return a setting that is text."""
        return str(self.values[name])

    def number(self, name: str) -> int:
        """Return a setting that is a whole number."""
        return int(self.values[name])

    def flag(self, name: str) -> bool:
        """Return a setting that is on or off."""
        return bool(self.values[name])

    def names(self, name: str) -> tuple[str, ...]:
        """Return a setting that is a list."""
        return tuple(self.values[name])

    def missing(self) -> list[Setting]:
        """Return the needed settings that have no answer."""
        return [setting for setting in SETTINGS if setting.needed and not self.values[setting.name]]


def from_file(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the settings and the ``[configuration.*]`` sections of an answers file. :raises AnswersError: unusable."""
    try:
        tables = toml.loads(path.read_text("utf-8"))
    except OSError as error:
        raise AnswersError(f"{path} cannot be read", error.strerror or "", "name another file with --answers") from None
    except (toml.DecodeError, UnicodeDecodeError) as error:
        raise AnswersError(f"{path} is not TOML", str(error), "mend that line") from None
    configuration = tables.pop("configuration", {})
    if not isinstance(configuration, dict) or not all(isinstance(part, dict) for part in configuration.values()):
        raise AnswersError(f"{path}: configuration", "settings stand below [configuration.<section>]", "mend that")
    values: dict[str, Any] = {}
    for section, table in tables.items():
        if not isinstance(table, dict):
            raise AnswersError(f"{path}: {section}", "settings stand below a [section]", "mend that")
        for key, value in table.items():
            values[_known(f"{section}.{key}", str(path))] = value
    return values, configuration


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings in variables as ``REFSTACK_INSTALL_GEARMAN_SERVERS``."""
    names = {ENVIRONMENT_PREFIX + name.replace(".", "_").upper(): name for name in BY_NAME}
    return {names[variable]: value for variable, value in environ.items() if variable in names}


def from_words(words: list[str]) -> dict[str, Any]:
    """Return the settings in ``section.key=value`` words. :raises AnswersError: one is none."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise AnswersError(f"--set {word}", "section.key=value is expected")
        found[_known(name, "--set")] = value
    return found


def configuration_from_words(words: list[str]) -> dict[str, dict[str, Any]]:
    """Return the settings of the worker in ``section.key=<JSON>`` words. :raises AnswersError: one is none."""
    found: dict[str, dict[str, Any]] = {}
    for word in words:
        name, equals, text = word.partition("=")
        section, dot, key = name.partition(".")
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not equals or not dot or not section or not key or value is None:
            raise AnswersError(f"--configure {word}", "section.key=<JSON value> is expected", "mend that")
        found.setdefault(section, {})[key] = value
    return found


def make(sources: list[Mapping[str, Any]], configuration: Mapping[str, Mapping[str, Any]]) -> Answers:
    """Return the answers that several sources give together, the strongest last.

    :raises AnswersError: a value is wrong.
    """
    values: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}
    for source in sources:
        for name, value in source.items():
            values[name] = _checked(BY_NAME[name], value)
    return Answers(values, configuration)


def as_toml(answers: Answers) -> str:
    """Return an answers file of what was answered. Secrets are never in one: keys are named by file or variable."""
    tables: dict[str, dict[str, Any]] = {}
    for setting in SETTINGS:
        if answers.values[setting.name] != setting.default:
            section, _, key = setting.name.partition(".")
            tables.setdefault(section, {})[key] = answers.values[setting.name]
    tables.update({f"configuration.{name}": dict(table) for name, table in answers.configuration.items()})
    return toml.dumps(tables)


def _known(name: str, where: str) -> str:
    if name in BY_NAME:
        return name
    near = difflib.get_close_matches(name, BY_NAME, 1)
    raise AnswersError(
        f"{where}: unknown setting {name}", f"did you mean {near[0]}?" if near else "", "docs/installer.md lists them"
    )


def _checked(setting: Setting, value: Any) -> Any:
    converted = _converted(setting, value)
    texts = converted if isinstance(converted, list) else [converted]
    if setting.name == "repository.fingerprint":
        texts = [converted := re.sub(r"\s", "", str(converted)).upper()]
    for text in texts:
        if setting.form is not None and not setting.form.match(str(text)):
            raise AnswersError(f"{setting.name} = {text!r}", f"not {setting.help.split(';')[0]!r}", "mend that")
    return converted


def _converted(setting: Setting, value: Any) -> Any:
    kind = type(setting.default)
    if kind is bool and str(value).lower() in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        return str(value).lower() in ("true", "yes", "on", "1")
    if kind is int and not isinstance(value, bool) and re.match(r"\d{1,9}\Z", str(value)):
        return int(value)
    if kind is list and isinstance(value, str):
        return [word for word in re.split(r"[,\s]+", value) if word]
    if kind is list and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    if kind is str and isinstance(value, str):
        return value
    names = {bool: "true or false", int: "a whole number", list: "a list of texts", str: "a text"}
    raise AnswersError(f"{setting.name} = {value!r}", f"{names[kind]} is expected", "mend that")
