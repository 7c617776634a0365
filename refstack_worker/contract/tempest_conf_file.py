"""A vendor's own ``tempest.conf``, read as oslo.config reads it.

Standard library alone: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from refstack_worker.contract.text_files import lines_of

_REFERENCE = re.compile(r"\\\$|\$\$|\$\{([\w.\-]+)\}|\$([A-Za-z_][\w.]*)")
_ACCOUNTS_FILE = ("auth", "test_accounts_file")
_OF_THIS_PROGRAM = re.compile(r"(?:.*_)?log_.*|log(?:file|dir)|use_(?:stderr|syslog|journal|eventlog|json)|"
                              r"syslog_.*|watch_log_file|publish_errors|state_path|pid_file|"
                              r"resource_name_prefix|record_resources")  # fmt: skip


@dataclass(frozen=True)
class TempestConfFile:
    """The options that a ``tempest.conf`` sets, and what it does not say."""

    conf: dict[str, dict[str, str]] = field(repr=False)
    """Section → option → value; holds passwords. An option without a value is as good as not set."""
    left_out: tuple[str, ...] = ()
    """Options that were not taken, as ``section.option``."""
    accounts_file: str = ""
    """Path of the accounts file that it names, as it stands there; the option itself is not in ``conf``."""

    @property
    def remark(self) -> str:
        """A sentence about what was left out; empty if nothing was."""
        return f"tempest.conf: left out, set for each run: {', '.join(self.left_out)}" if self.left_out else ""


def is_set_by_execute_test(section: str, option: str) -> bool:
    """Return whether ``execute_test`` sets an option itself: logs, locks and the prefix of names."""
    group, name = section.lower(), option.replace("-", "_").lower()
    return group == "oslo_concurrency" or (group == "default" and _OF_THIS_PROGRAM.fullmatch(name) is not None)


def read_tempest_conf(text: str, is_left_out: Callable[[str, str], bool]) -> TempestConfFile:
    """Return what the text of a ``tempest.conf`` says.

    :param is_left_out: whether an option (section, name) may not be taken from it.
    :raises ValueError: a line is not oslo.config's; naming the line, never its content.
    """
    whole = _resolved(_sections(text.removeprefix("\ufeff")))
    conf: dict[str, dict[str, str]] = {}
    left_out, accounts_file = [], ""
    for section, options in whole.items():
        for option, value in options.items():
            if (section.lower(), option) == _ACCOUNTS_FILE:
                accounts_file = value
            elif is_left_out(section, option):
                left_out.append(f"{section}.{option}")
            elif value:
                conf.setdefault(section, {})[option] = value
    return TempestConfFile(conf, tuple(left_out), accounts_file)


def _sections(text: str) -> dict[str, dict[str, str]]:
    """Return sections and options with their raw values; if an option occurs twice, the last value counts."""
    sections: dict[str, dict[str, str]] = {}
    section, option = "DEFAULT", ""
    for number, line in enumerate(lines_of(text), 1):
        content = line.rstrip()
        if not content.strip():
            option = ""
        elif content[0] in " \t":
            if content.lstrip()[0] in "#;":
                continue
            if not option:
                raise ValueError(f"line {number}: it is indented, but continues no option")
            sections[section][option] = _joined(sections[section][option], content.strip())
        elif content[0] in "#;":
            option = ""
        elif content[0] == "[":
            section, option = _section_name(content, number), ""
        else:
            option, value = _option(content, number)
            sections.setdefault(section, {})[option] = value
    return sections


def _section_name(line: str, number: int) -> str:
    name = line[1:-1].strip()
    if not line.endswith("]") or not name:
        raise ValueError(f"line {number}: not the name of a section in brackets")
    return section_name(name)


def section_name(name: str) -> str:
    """Return a section's name as oslo.config reads it: ``[Auth]`` and ``[auth]`` are one."""
    return "DEFAULT" if name.upper() == "DEFAULT" else name.lower()


def _option(line: str, number: int) -> tuple[str, str]:
    match = re.match(r"([^:=]*?)\s*[:=]\s*(.*)", line)
    if not match or not match.group(1):
        raise ValueError(f"line {number}: a line 'option = value' is expected")
    value = match.group(2)
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return match.group(1).replace("-", "_"), value


def _joined(value: str, more: str) -> str:
    """A list may go on in the next line."""
    return f"{value}{more}" if not value or value.endswith(",") else f"{value} {more}"


def _resolved(sections: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return the options with other options' values in the place of ``$name``."""

    def put_in(text: str, section: str, depth: int = 0) -> str:
        def value(match: re.Match[str]) -> str:
            if match.group() in ("$$", "\\$"):
                return "$"
            group, _, name = (match.group(1) or match.group(2)).rpartition(".")
            group = section_name(group)
            found = sections.get(group or section, {}).get(name, sections.get("DEFAULT", {}).get(name))
            if found is None or depth > 8:
                return match.group()
            return put_in(found, group or section, depth + 1)

        return _REFERENCE.sub(value, text)

    return {section: {option: put_in(text, section) for option, text in options.items()}
            for section, options in sections.items()}  # fmt: skip
