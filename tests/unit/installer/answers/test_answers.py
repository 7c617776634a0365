"""Answers of several sources are combined and checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from refstack_install.answers import answers as answering
from refstack_install.answers import sources
from refstack_install.errors import AnswersError


def test_later_sources_override_earlier_ones() -> None:
    answers = answering.combine(
        [{"gearman.servers": ["file:1"], "node.slots": 2, "node.name": "n"}, {"gearman.servers": "a:1, b:2"},
         {"node.slots": "3"}], {"limits": {"min_free_mb": 5}}
    )  # fmt: skip
    assert answers.names("gearman.servers") == ("a:1", "b:2")
    assert answers.number("node.slots") == 3
    assert answers.text("node.name") == "n"
    assert answers.configuration == {"limits": {"min_free_mb": 5}}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("tempest.versions=47.0.0;rm -rf /", "expected: Tempest versions"),
        ("tempest.versions=47", None),
        ("gearman.servers=host:port", "expected: gearmand servers"),
        ("gearman.servers=[::1]:4730", None),
        ("server.urls=ftp://x", "e.g. https://refstack.example"),
        ("server.urls=https://user:pw@x", "expected: RefStack servers"),
        ("node.slots=many", "expected: a whole number"),
        ("node.slots=-1", "expected: a whole number"),
        ("tempest.warm=perhaps", "expected: true or false"),
        ("repository.fingerprint=abc", "expected: fingerprint"),
        ("repository.fingerprint=e36c 0ba2 d079 59b0 ed4a  4904 7588 8bc5 284d 0e70", None),
        ("node.name=../x", "of letters, digits"),
        ("packages.extra=-o=x", "expected: additional packages"),
    ],
)
def test_every_answer_is_checked(assignment: str, message: str | None) -> None:
    values = sources.from_assignments([assignment])
    if message is None:
        answering.combine([values], {})
        return
    with pytest.raises(AnswersError) as caught:
        answering.combine([values], {})
    assert message in str(caught.value)


def test_kept_answers_are_read_back_unchanged(tmp_path: Path) -> None:
    values = {"tempest.versions": ["47.0.0"], "node.slots": 4, "server.urls": ["https://x"]}
    answers = answering.combine([values], {"run": {"stop_grace": 2.5}, "log": {"level": 'a"b\\c\n\x01'}})
    file = tmp_path / "kept.toml"
    file.write_text(answering.as_toml(answers))
    values, configuration = sources.from_file(file)
    assert answering.combine([values], configuration) == answers
