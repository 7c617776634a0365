"""Questions on a terminal, for what nobody answered."""

from __future__ import annotations

import sys
from typing import Any

from refstack_install.answers import BY_NAME, Answers, Setting, make
from refstack_install.errors import AnswersError


def ask(answers: Answers) -> dict[str, Any]:
    """Return answers to the questions that are open, asked until each makes sense."""
    given = {}
    for setting in _open(answers):
        given[setting.name] = _one(setting)
    return given


def _open(answers: Answers) -> list[Setting]:
    wanted = answers.missing()
    names = [] if answers.text("bundle.file") else ["repository.url"]
    return [*(BY_NAME[name] for name in names if not answers.values[name]), *wanted]


def _one(setting: Setting) -> str:
    while True:
        print(f"{setting.question}: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise AnswersError(f"no answer to {setting.question!r}", todo="give it by a flag or in --answers FILE")
        try:
            make([{setting.name: line.strip()}], {})
        except AnswersError as error:
            print(f"  {error}", file=sys.stderr)
            continue
        if line.strip():
            return line.strip()
