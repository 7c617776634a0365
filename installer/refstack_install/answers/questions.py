"""Asks on a terminal for answers that no other source gave."""

from __future__ import annotations

import sys
from typing import Any

from refstack_install.answers.answers import Answers, combine
from refstack_install.answers.settings import BY_NAME, Setting
from refstack_install.errors import AnswersError


def ask(answers: Answers) -> dict[str, Any]:
    """Ask for each missing setting until its value is valid."""
    return {setting.name: _answer(setting) for setting in _unanswered(answers)}


def _unanswered(answers: Answers) -> list[Setting]:
    names = [] if answers.text("bundle.file") else ["repository.url"]
    return [*(BY_NAME[name] for name in names if not answers.values[name]), *answers.missing()]


def _answer(setting: Setting) -> str:
    while True:
        print(f"{setting.question}: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise AnswersError(f"no answer to {setting.question!r}", todo="use a flag or --answers FILE")
        try:
            combine([{setting.name: line.strip()}], {})
        except AnswersError as error:
            print(f"  {error}", file=sys.stderr)
            continue
        if line.strip():
            return line.strip()
