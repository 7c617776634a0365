"""The summary of what is wrong with a form calls fields as their labels do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from refstack_worker.server.web import words

TEMPLATES = sorted((Path(words.__file__).parent / "templates").glob("*.html"))
FIELD = re.compile(r'parts\.field\("(\w+)", "([^"]+)"')
OWN_LABEL = re.compile(r'<label(?: class="hidden")? for="f-(\w+)">([^<]+)')
WITHOUT_ERRORS = ("days", "to_user_id", "accounts", "accounts_file", "tests", "exclude", "scope")
"""Their choices cannot be wrong, or their section has the name."""


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_field_has_one_name(template: Path) -> None:
    text = template.read_text("utf-8")
    if "parts.summary(errors)" not in text:
        return
    for field, label in [*FIELD.findall(text), *OWN_LABEL.findall(text)]:
        if field not in WITHOUT_ERRORS:
            named = words.field_name(field)
            assert named.lower().split()[-1] in label.lower(), f"{field}: {named} is labelled {label}"


def test_an_unknown_field_gets_its_own_name() -> None:
    assert words.field_name("some_thing") == "Some thing"
