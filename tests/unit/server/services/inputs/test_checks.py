"""Which field an error is about, whatever users call their fields."""

from __future__ import annotations

import pytest

from refstack_worker.errors import PayloadError
from refstack_worker.server.services.inputs import checks
from refstack_worker.server.services.inputs.checks import FieldError, InvalidInput


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("payload: conf_json.identity.password: is set by the node", "conf_json.identity.password"),
        ("payload: testcases.names.0: breaks a rule", "testcases.names.0"),
        ("guideline: text: not JSON", "guideline.text"),
        ("payload: conf_json.DEFAULT.log_file: only the node", "conf_json.DEFAULT.log_file"),
        ("payload: conf_json.object-storage.ca-certs: only the node", "conf_json.object-storage.ca-certs"),
        ("label: x", "label"),
        ("no field at all", None),
        ("Large: letters", None),
    ],
)
def test_the_field_stands_before_a_colon(message: str, field: str | None) -> None:
    found = checks.field_errors(PayloadError(message))
    assert [one.field for one in found] == ([field] if field else [])


@pytest.mark.parametrize("name", ["a." * 60 + "X", "a: " * 60 + "X", "a.b: " * 40 + "X", "a" * 5000 + "X", "a-." * 60])
def test_a_name_that_can_be_split_in_many_ways_costs_nothing(name: str) -> None:
    """Such a name held Python's lock for hours: nothing else in the server went on."""
    checks.field_errors(PayloadError(f"payload: conf_json.{name}"))


def test_only_the_first_errors_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    explained: list[object] = []
    monkeypatch.setattr(checks, "_explain", lambda error, _where: explained.append(error) or [FieldError("x", "y")])
    with pytest.raises(InvalidInput):
        checks.check({"type": "array", "items": {"type": "integer"}}, ["x"] * 5000)
    assert len(explained) == checks.MAX_FOUND
