"""Write the schema and the table of the installer's answers: ``python -m tools.answers_schema``.

The schema is ``docs/installer-answers.schema.json``, the table is in ``docs/installer.md``. With ``--check`` nothing is
written, and the exit status is 1 when one of them differs from the settings.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
sys.path.append(str(TOP / "installer"))

from refstack_install.answers.settings import SETTINGS, Setting  # noqa: E402 - the installer is not installed

SCHEMA = TOP / "docs" / "installer-answers.schema.json"
PAGE = TOP / "docs" / "installer.md"
BEGIN = "<!-- answers: made by python -m tools.answers_schema -->\n"
END = "<!-- end of answers -->\n"
FINGERPRINT = r"^\s*([0-9A-Fa-f]\s*){40}(([0-9A-Fa-f]\s*){24})?$"
"""As people write it; the installer drops the spaces."""
TYPES = {bool: "boolean", int: "integer", str: "string", list: "array"}


def schema() -> str:
    """Return the JSON Schema of an answers file."""
    sections: dict[str, dict[str, Any]] = {}
    for setting in SETTINGS:
        section, _, key = setting.name.partition(".")
        sections.setdefault(section, {})[key] = _property(setting)
    properties: dict[str, Any] = {
        section: {"type": "object", "properties": keys, "additionalProperties": False}
        for section, keys in sections.items()
    }
    properties["configuration"] = {
        "type": "object",
        "description": "sections of the worker's own configuration (docs/worker.md), copied unchanged",
        "additionalProperties": {"type": "object"},
    }
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Answers of refstack-install",
        "description": "An answers file in TOML, or the variable refstack_node_answers of the Ansible role.",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return json.dumps(document, indent=2) + "\n"


def _property(setting: Setting) -> dict[str, Any]:
    value: dict[str, Any] = {}
    if setting.pattern is not None:
        value["pattern"] = FINGERPRINT if setting.name == "repository.fingerprint" else _anchored(setting.pattern)
    if isinstance(setting.default, list):
        value = {"items": {"type": "string", **value}}
    elif isinstance(setting.default, int) and not isinstance(setting.default, bool):
        value["minimum"] = 0
    return {"type": TYPES[type(setting.default)], "description": _meaning(setting), **value, "default": setting.default}


def _meaning(setting: Setting) -> str:
    return f"{setting.help} ({setting.requirement})" if setting.requirement else setting.help


def _anchored(pattern: re.Pattern[str]) -> str:
    return "^(?:" + pattern.pattern.replace(r"\Z", "") + ")$"


def table() -> str:
    """Return the table of all settings in Markdown."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for setting in SETTINGS:
        default = f"`{json.dumps(setting.default)}`" if setting.default not in ("", []) else ""
        rows.append(f"| `{setting.name}` | {default} | {_meaning(setting)} |")
    return "\n".join(rows)


def page_with_table(text: str) -> str:
    """Return a page with the table between its marks replaced by the present settings."""
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n\n{END}{rest.partition(END)[2]}"


def main(argv: list[str]) -> int:
    """Write or check both files."""
    current = {SCHEMA: schema(), PAGE: page_with_table(PAGE.read_text(encoding="utf-8"))}
    if "--check" in argv:
        return int(any(not path.exists() or path.read_text(encoding="utf-8") != text for path, text in current.items()))
    for path, text in current.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
