"""Reads the fleet's private key and the server's public keys, and checks them before anything is changed."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path

from refstack_install.answers.answers import Answers
from refstack_install.errors import AnswersError
from refstack_install.system import System

FOLDER = "/etc/refstack-worker"
TOKEN = re.compile(r"rse1\.[0-9a-f]{16}\.[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True)
class KeyFile:
    """One of the two key files of a node."""

    setting: str
    path: str
    kind: str
    """First word of each line (``refstack_worker/contract/keys.py``)."""
    mode: int


KEY_FILES = (
    KeyFile("keys.fleet", f"{FOLDER}/fleet.key", "refstack-seal-private", 0o600),
    KeyFile("keys.servers", f"{FOLDER}/server.pub", "refstack-sign-public", 0o644),
)


def content(key: KeyFile, system: System, answers: Answers) -> bytes:
    """Return the content of a key file. :raises AnswersError: the source is missing or is not such a key."""
    source = answers.text(key.setting)
    text = _source(key.setting, source, system)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines or not all(_is_key(line, key.kind) for line in lines):
        raise AnswersError(
            f"{key.setting} = {source} is not a key file",
            f"expected: lines '{key.kind} <base64 of 32 bytes>'",
            "use the file that 'refstack-queue keys generate' made on the server",
        )
    return ("\n".join(lines) + "\n").encode()


def token(system: System, answers: Answers) -> str:
    """Return the enrolment token. :raises AnswersError: the source is missing or is not a token."""
    source = answers.text("keys.enrolment")
    text = _source("keys.enrolment", source, system).strip()
    if not TOKEN.match(text):
        raise AnswersError(
            f"keys.enrolment = {source} is not an enrolment token",
            todo="use what 'refstack-queue worker enrol NODE' printed (rse1.…)",
        )
    return text


def installed(system: System) -> dict[str, str]:
    """Return the settings for the key files that the node already has."""
    places = {key.setting: system.path(key.path) for key in KEY_FILES}
    return {setting: str(path) for setting, path in places.items() if path.is_file()}


def _source(setting: str, source: str, system: System) -> str:
    if source.startswith("env:"):
        text = system.environ.get(source[4:], "")
        if not text:
            raise AnswersError(f"{setting} = {source}", "the variable is not set", "set it, or name a file")
        return text
    try:
        return Path(source).read_text("ascii")
    except OSError as error:
        raise AnswersError(f"{setting} = {source}", error.strerror or "", "copy the key file there") from None
    except UnicodeDecodeError:
        raise AnswersError(
            f"{setting} = {source} is not a key file", todo="use the file that 'refstack-queue keys generate' made"
        ) from None


def _is_key(line: str, kind: str) -> bool:
    words = line.split()
    try:
        return len(words) == 2 and words[0] == kind and len(base64.b64decode(words[1], validate=True)) == 32
    except binascii.Error:
        return False
