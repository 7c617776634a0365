"""The repository named in the answers: its URL for this distribution, and its keys."""

from __future__ import annotations

import re

from refstack_install.answers.answers import Answers
from refstack_install.bundle import archive
from refstack_install.errors import AnswersError
from refstack_install.packages.keyring import trusted_keys
from refstack_install.packages.manager import PackageManager, Repository
from refstack_install.system import System


def from_answers(system: System, answers: Answers, manager: PackageManager) -> Repository:
    """Return the repository. :raises AnswersError: an answer is missing, or the key is not the pinned one."""
    base = base_url(answers)
    return Repository(
        base + ("/apt" if manager.name == "apt" else "/yum"),
        answers.text("repository.suite"),
        answers.text("repository.component"),
        trusted_keys(system, answers, manager, base),
        complete=bool(answers.text("bundle.file")),
    )


def base_url(answers: Answers) -> str:
    """Return the URL above ``apt/`` and ``yum/``. :raises AnswersError: it is missing or invalid."""
    if answers.text("bundle.file"):
        return f"file://{archive.FOLDER}"
    url = answers.text("repository.url")
    if not url:
        raise AnswersError("repository.url is missing", todo="name the package repository, or use --bundle")
    if any(c.isspace() for c in url) or not url.startswith(("/", "http://", "https://", "file:/")):
        raise AnswersError(
            f"repository.url = {url!r} is not valid", "expected: an http, https or file URL, or a folder"
        )
    return re.sub(r"^(file:)?/+", "file:///", url).rstrip("/")
