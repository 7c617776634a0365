"""Reads answers from files, environment variables and the command line."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refstack_install import toml
from refstack_install.answers.settings import BY_NAME, ENVIRONMENT_PREFIX
from refstack_install.errors import AnswersError


def from_file(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the settings and the ``[configuration.*]`` sections of an answers file.

    :raises AnswersError: the file cannot be read or has an unknown setting.
    """
    tables = _tables(path)
    configuration = tables.pop("configuration", {})
    if not isinstance(configuration, dict) or not all(isinstance(part, dict) for part in configuration.values()):
        raise AnswersError(
            f"{path}: setting outside a section", todo="put worker settings below [configuration.<section>]"
        )
    values: dict[str, Any] = {}
    for section, table in tables.items():
        if not isinstance(table, dict):
            raise AnswersError(f"{path}: {section} is outside a section", todo="put settings below a [section]")
        for key, value in table.items():
            values[_known(f"{section}.{key}", str(path))] = value
    return values, configuration


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings in variables such as ``REFSTACK_INSTALL_GEARMAN_SERVERS``."""
    names = {ENVIRONMENT_PREFIX + name.replace(".", "_").upper(): name for name in BY_NAME}
    return {names[variable]: value for variable, value in environ.items() if variable in names}


def from_assignments(assignments: list[str]) -> dict[str, Any]:
    """Return the settings in ``section.key=value`` arguments. :raises AnswersError: an argument is malformed."""
    values = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise AnswersError(f"--set {assignment} is not valid", "expected: section.key=value")
        values[_known(name, "--set")] = value
    return values


def configuration_from_assignments(assignments: list[str]) -> dict[str, dict[str, Any]]:
    """Return the worker's settings in ``section.key=<JSON>`` arguments.

    :raises AnswersError: an argument is malformed.
    """
    sections: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        section, _, key = name.partition(".")
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not section or not key or value is None:
            raise AnswersError(f"--configure {assignment} is not valid", "expected: section.key=<JSON value>")
        sections.setdefault(section, {})[key] = value
    return sections


def _tables(path: Path) -> dict[str, Any]:
    try:
        return toml.loads(path.read_text("utf-8"))
    except OSError as error:
        raise AnswersError(f"cannot read {path}", error.strerror or "", "name another file with --answers") from None
    except (toml.DecodeError, UnicodeDecodeError) as error:
        raise AnswersError(f"{path} is not valid TOML", str(error), "correct that line") from None


def _known(name: str, where: str) -> str:
    if name in BY_NAME:
        return name
    near = difflib.get_close_matches(name, BY_NAME, 1)
    raise AnswersError(
        f"{where}: unknown setting {name}",
        f"did you mean {near[0]}?" if near else "",
        "docs/installer.md lists all settings",
    )
