"""Which texts are taken from which files, and at which lines."""

from __future__ import annotations

import pytest

from tests.house import prose
from tests.house.prose import Text

SOURCE = '''"""What it is for."""

# the first line of a comment
# and its second
NAME = 3
"""Seconds that it takes."""


def call(what):
    raise ValueError(f"{what}: not a {'real number' if what else 'x'}" "; try again")  # why
'''


def kinds(texts: list[Text]) -> list[tuple[str, int, str]]:
    return sorted((text.kind, text.line, text.text) for text in texts)


def test_of_python_docstrings_comments_and_strings() -> None:
    assert kinds(list(prose.texts_of("m.py", SOURCE))) == [
        ("comment", 3, "the first line of a comment\nand its second"),
        ("comment", 10, "why"),
        ("docstring", 1, "What it is for."),
        ("docstring", 6, "Seconds that it takes."),
        ("string", 10, "{}: not a {real number}; try again"),
    ]


def test_programs_without_a_suffix_are_python_too() -> None:
    assert [text.kind for text in prose.texts_of("tests/run", '#!/usr/bin/python3\n"""Runs it."""\n')] == [
        "docstring",
        "comment",
    ]


def test_of_a_template_its_words_and_those_of_its_expressions() -> None:
    page = """{# a comment of the template #}
<p class="x" title="Shown on top">Runs of {{ cloud.label or "No saved cloud" }}</p>
{% if runs %}<b>
  Later</b>{% endif %}<script>var code = 1;</script>
"""
    found = [(text.line, text.text) for text in prose.texts_of("p.html", page)]
    assert found == [
        (1, "{# a comment of the template #}"),
        (2, "Shown on top"),
        (2, "Runs of No saved cloud"),
        (4, "Later"),
    ]


def test_of_a_document_everything_but_code() -> None:
    text = "# Title\n\nWrite `said` there.\n\n```\ntold\n```\n\nThe end.\n"
    assert [(one.line, one.text) for one in prose.texts_of("a.md", text)] == [
        (1, "# Title"),
        (3, "Write {} there."),
        (9, "The end.\n"),
    ]


def test_of_a_script_its_texts() -> None:
    assert "It has ended" in [text.text for text in prose.texts_of("a.js", 'show("It has ended"); // later\n')]


@pytest.mark.parametrize(
    ("file", "kind", "text", "shown"),
    [
        ("refstack_worker/a.py", "string", "no such file", True),
        ("refstack_worker/a.py", "string", "word", False),
        ("refstack_worker/a.py", "string", "SELECT name FROM run", False),
        ("refstack_worker/a.py", "docstring", "What it is for.", False),
        ("refstack_worker/cli/a.py", "docstring", "List the runs.", True),
        ("refstack_worker/server/api/a.py", "docstring", "Return the runs.", True),
        ("refstack_worker/server/web/run.html", "page", "Runs", True),
        ("tests/a.py", "string", "no such file", False),
    ],
)
def test_what_users_and_operators_see(file: str, kind: str, text: str, shown: bool) -> None:
    one = Text(file, 1, text, kind)
    assert prose.messages([one]) == ([one] if shown else [])
