"""Combines the answers of all sources and checks each value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refstack_install import toml
from refstack_install.answers.settings import BY_NAME, SETTINGS, Setting
from refstack_install.errors import AnswersError

_TYPE_NAMES = {bool: "true or false", int: "a whole number", list: "a list of strings", str: "a string"}


@dataclass(frozen=True)
class Answers:
    """The checked values of all settings."""

    values: Mapping[str, Any]
    configuration: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Sections that are copied to the worker's configuration unchanged."""

    def text(self, name: str) -> str:
        return str(self.values[name])

    def number(self, name: str) -> int:
        return int(self.values[name])

    def flag(self, name: str) -> bool:
        return bool(self.values[name])

    def names(self, name: str) -> tuple[str, ...]:
        return tuple(self.values[name])

    def missing(self) -> list[Setting]:
        """Return the required settings that have no answer; a node that enrols needs no keys."""
        return [
            setting
            for setting in SETTINGS
            if setting.required
            and not self.values[setting.name]
            and not (setting.replaced_by and self.values[setting.replaced_by])
        ]


def combine(sources: list[Mapping[str, Any]], configuration: Mapping[str, Mapping[str, Any]]) -> Answers:
    """Return the answers of several sources; later sources override earlier ones.

    :raises AnswersError: a value is invalid.
    """
    values: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}
    for source in sources:
        for name, value in source.items():
            values[name] = _checked(BY_NAME[name], value)
    return Answers(values, configuration)


def as_toml(answers: Answers) -> str:
    """Return an answers file with every value that differs from its default.

    It never contains a secret: keys are named by file or variable.
    """
    tables: dict[str, dict[str, Any]] = {}
    for setting in SETTINGS:
        if answers.values[setting.name] != setting.default:
            section, _, key = setting.name.partition(".")
            tables.setdefault(section, {})[key] = answers.values[setting.name]
    tables.update({f"configuration.{name}": dict(table) for name, table in answers.configuration.items()})
    return toml.dumps(tables)


def _checked(setting: Setting, value: Any) -> Any:
    converted = _fingerprints(value) if setting.name == "repository.fingerprint" else _converted(setting, value)
    for text in converted if isinstance(converted, list) else [converted]:
        if setting.pattern is not None and not setting.pattern.match(str(text)):
            raise AnswersError(f"{setting.name} = {text!r} is not valid", f"expected: {setting.help.split(';')[0]}")
    return converted


def _fingerprints(value: Any) -> list[str]:
    """Return fingerprints in their usual spelling; several in one string are separated by commas."""
    texts = value if isinstance(value, list) else str(value).split(",")
    return [name for text in texts if (name := re.sub(r"\s", "", str(text)).upper())]


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
    raise AnswersError(f"{setting.name} = {value!r} is not valid", f"expected: {_TYPE_NAMES[kind]}")
