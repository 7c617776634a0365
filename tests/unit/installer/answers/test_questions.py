"""Missing answers are asked for on a terminal."""

from __future__ import annotations

import io

import pytest
from refstack_install.answers import answers as answering
from refstack_install.answers import questions
from refstack_install.errors import AnswersError


def test_questions_are_repeated_until_the_answer_is_valid(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["repo", "bad version", "47.0.0", "gm:4730", "https://s", "/fleet", "/server"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
    answers = questions.ask(answering.combine([], {}))
    assert answers["tempest.versions"] == "47.0.0"
    assert not answering.combine([answers], {}).missing()
    assert "bad" in capsys.readouterr().err


def test_the_end_of_the_input_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(AnswersError, match="no answer"):
        questions.ask(answering.combine([], {}))
