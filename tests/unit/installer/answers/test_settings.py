"""The declaration of the settings is complete."""

from __future__ import annotations

import pytest
from refstack_install.answers.settings import BY_NAME, SETTINGS, Setting
from refstack_install.cli import FLAGS

from tests.support.node_machine import INSTALLER


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_section_a_type_and_a_description(setting: Setting) -> None:
    section, dot, key = setting.name.partition(".")
    assert section and dot and key
    assert type(setting.default) in (str, int, bool, list)
    assert setting.help
    assert bool(setting.question) >= setting.required, "what is required is asked for"


def test_names_are_distinct_and_flags_are_settings() -> None:
    assert len(BY_NAME) == len(SETTINGS)
    assert set(FLAGS.values()) <= set(BY_NAME)


def test_the_example_of_cloud_init_uses_settings_that_exist() -> None:
    from refstack_install import toml

    text = (INSTALLER / "cloud-init" / "user-data.example.yml").read_text()
    block = text[text.index("      [repository]") : text.index("  - path: /usr/local")]
    tables = toml.loads("\n".join(line.strip() for line in block.splitlines()))
    assert {f"{section}.{key}" for section, table in tables.items() for key in table} <= set(BY_NAME)
