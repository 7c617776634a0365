"""The documentation of the installer's answers is up to date."""

from __future__ import annotations

import json

import jsonschema
import pytest

from tools import answers_schema


def test_schema_and_table_are_those_of_the_settings() -> None:
    assert answers_schema.main(["--check"]) == 0, "run: python -m tools.answers_schema"


def test_the_schema_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(answers_schema.schema()))


@pytest.mark.parametrize("spelling", ["0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567", "ab" * 20, "AB" * 32])
def test_fingerprints_as_people_write_them(spelling: str) -> None:
    jsonschema.validate({"repository": {"fingerprint": [spelling]}}, json.loads(answers_schema.schema()))


def test_keys_are_required_unless_a_token_replaces_them() -> None:
    properties = json.loads(answers_schema.schema())["properties"]["keys"]["properties"]
    rows = {row.split("`")[1]: row for row in answers_schema.table().splitlines()[2:]}
    for name in ("fleet", "servers"):
        assert properties[name]["description"].endswith("(required unless keys.enrolment is given)")
        assert "(required unless keys.enrolment is given)" in rows[f"keys.{name}"]
    assert "required" not in rows["keys.enrolment"]
    assert "(required)" in rows["gearman.servers"]
