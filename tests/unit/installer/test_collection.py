"""The Ansible collection agrees with itself and with the installer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from refstack_install.answers import answers as answering
from refstack_install.errors import AnswersError

from tests.support.node_machine import INSTALLER
from tools import answers_schema

yaml = pytest.importorskip("yaml")

FOLDER = INSTALLER / "ansible"
ROLE = FOLDER / "roles" / "refstack_node"


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_every_variable_of_the_role_is_described() -> None:
    defaults = load(ROLE / "defaults" / "main.yml")
    options = load(ROLE / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    assert {name: option["default"] for name, option in options.items()} == defaults
    table = re.findall(r"^\| `(refstack_node_\w+)`", (FOLDER / "README.md").read_text(), re.M)
    assert sorted(table) == sorted(defaults)


def test_the_release_has_its_entry_in_the_changelog() -> None:
    version = load(FOLDER / "galaxy.yml")["version"]
    assert f"\n## {version}\n" in (FOLDER / "CHANGELOG.md").read_text()


def test_the_example_inventory_has_valid_answers() -> None:
    group = load(FOLDER / "inventory.example.yml")["refstack_nodes"]
    fleet = group["vars"]["refstack_node_answers"]
    schema = yaml.safe_load(answers_schema.schema())
    for host in group["hosts"].values():
        for answers in (fleet, (host or {}).get("refstack_node_host_answers", {})):
            jsonschema.validate(answers, schema)
            values = {
                f"{section}.{key}": value
                for section, table in answers.items()
                if section != "configuration"
                for key, value in table.items()
            }
            answering.combine([values], {})


@pytest.mark.parametrize(
    "answers",
    [
        {"gearman": {"server": ["x"]}},
        {"node": {"slots": -1}},
        {"tempest": {"versions": ["47;rm"]}},
        {"repository": {"fingerprint": ["abc"]}},
    ],
)
def test_the_schema_refuses_what_the_installer_refuses(answers: dict[str, Any]) -> None:
    schema = yaml.safe_load(answers_schema.schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(answers, schema)
    values = {f"{section}.{key}": value for section, table in answers.items() for key, value in table.items()}
    with pytest.raises((AnswersError, KeyError)):
        answering.combine([values], {})
