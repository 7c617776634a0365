"""The repository named in the answers: its URL for this distribution, and its key, verified by fingerprint."""

from __future__ import annotations

from pathlib import Path

from refstack_install import files
from refstack_install.answers.answers import Answers
from refstack_install.errors import AnswersError, StepError
from refstack_install.hosts import http
from refstack_install.packages import openpgp
from refstack_install.packages.manager import PackageManager, Repository
from refstack_install.system import System

BUNDLE_FOLDER = "/var/lib/refstack-install/bundle"


def of(system: System, answers: Answers, manager: PackageManager) -> Repository:
    """Return the repository. :raises AnswersError: not enough is known, or the key is another one."""
    fingerprint = answers.text("repository.fingerprint")
    key = _present_key(system, answers, manager, fingerprint) or _key(system, answers)
    known = openpgp.fingerprints(key)
    if fingerprint and fingerprint not in known:
        raise AnswersError(
            f"the repository's key is {', '.join(known)}, not {fingerprint}",
            "the key or the fingerprint is wrong",
            "ask who runs the repository for its fingerprint",
        )
    return Repository(
        address(answers, manager),
        answers.text("repository.suite"),
        answers.text("repository.component"),
        key,
        complete=bool(answers.text("bundle.file")),
    )


def address(answers: Answers, manager: PackageManager) -> str:
    """Return the repository's URL. :raises AnswersError: none is given."""
    return base(answers) + ("/apt" if manager.name == "apt" else "/yum")


def base(answers: Answers) -> str:
    """Return the address below which the repositories of both kinds lie. :raises AnswersError: none is given."""
    if answers.text("bundle.file"):
        return f"file://{BUNDLE_FOLDER}"
    url = answers.text("repository.url")
    if not url:
        raise AnswersError("repository.url is not given", todo="name the packages' repository, or a --bundle")
    if url.startswith("/"):
        return f"file://{url.rstrip('/')}"
    if not url.startswith(("http://", "https://", "file:/")) or any(c.isspace() for c in url):
        raise AnswersError(f"repository.url = {url!r}", "http:, https: or file: is expected", "mend that")
    return url.rstrip("/")


def _present_key(system: System, answers: Answers, manager: PackageManager, fingerprint: str) -> bytes | None:
    """The key that lies there already, when it is the right one: then nothing needs to be fetched."""
    present = files.read(system.path(manager.key_path))
    if present is None:
        return None
    if manager.owns(manager.key_path):
        # the keyring package renews it when keys change
        return openpgp.dearmor(present)
    source = answers.text("repository.key") or f"{base(answers)}/".removeprefix("file://")
    from_url = "://" in source
    try:
        key = openpgp.dearmor(present)
        if from_url and fingerprint and fingerprint in openpgp.fingerprints(key):
            return key
        # the file it once came from is gone: what this machine trusts already stays trusted
        return key if not from_url and not Path(source).exists() else None
    except AnswersError:
        return None


def _key(system: System, answers: Answers) -> bytes:
    source = answers.text("repository.key")
    if answers.text("bundle.file"):
        source = str(system.path(BUNDLE_FOLDER) / "key.asc")
    source = source or f"{base(answers)}/refstack-archive-keyring.asc".removeprefix("file://")
    if "://" not in source:
        content = files.read(Path(source))
        if content is None:
            raise AnswersError(f"repository.key = {source}", "no such file", "name the repository's key file")
        return openpgp.dearmor(content)
    if not answers.text("repository.fingerprint"):
        raise AnswersError(
            "repository.fingerprint is not given",
            "a key from the network is believed only by its fingerprint",
            "ask who runs the repository for it",
        )
    try:
        return openpgp.dearmor(http.fetch(source))
    except OSError as error:
        raise StepError(
            f"the repository's key cannot be fetched from {source}",
            str(error),
            "check repository.key and the network, and run again",
        ) from error
