"""Decides which keys the repository is trusted with, and in which file they are.

With ``repository.fingerprint`` only the pinned keys are trusted: whatever else a key file contains is left out,
wherever the file comes from. The exception is the file of the keyring package. That package came from a repository that
was already trusted, and it replaces the file when the repository changes its key.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from refstack_install import files, openpgp
from refstack_install.answers.answers import Answers
from refstack_install.bundle import archive
from refstack_install.errors import AnswersError, StepError
from refstack_install.hosts import http
from refstack_install.packages.manager import PackageManager, TrustedKeys
from refstack_install.system import System

KEY_FILE = "refstack-archive-keyring.asc"
"""Lies beside apt/ and yum/ in a repository."""


def trusted_keys(system: System, answers: Answers, manager: PackageManager, base_url: str) -> TrustedKeys:
    """Return the keys to trust. :raises AnswersError: the key cannot be read, or is not pinned."""
    pins = answers.names("repository.fingerprint")
    if not manager.owns(manager.key_path):
        return TrustedKeys(_key(system, answers, manager.key_path, base_url), manager.key_path, False)
    packaged = _present(system, manager.key_path, ())
    expected = pins or _local_fingerprints(answers, base_url)
    if packaged is not None and (not expected or set(expected) & set(openpgp.fingerprints(packaged))):
        return TrustedKeys(packaged, manager.key_path, True)
    # the node moves to a repository with another key, or the package's file is damaged
    path = manager.own_key_path
    return TrustedKeys(_key(system, answers, path, base_url), path, False)


def _key(system: System, answers: Answers, path: str, base_url: str) -> bytes:
    """Return the key from the node if nothing has to be fetched, else from the source in the answers."""
    pins = answers.names("repository.fingerprint")
    source = _source(answers, base_url)
    present = _present(system, path, pins)
    if present is not None and _is_enough(present, source, pins):
        return present
    try:
        return openpgp.only_pinned(_read(system, answers, source), pins)
    except StepError:
        # without network, the pinned keys that are on the node still hold
        if present is None or not pins:
            raise
        return present


def _source(answers: Answers, base_url: str) -> str:
    """Return a file, a URL, or an empty string for the bundle's key."""
    if answers.text("bundle.file"):
        return ""
    return answers.text("repository.key") or f"{base_url}/{KEY_FILE}".removeprefix("file://")


def _present(system: System, path: str, pins: Sequence[str]) -> bytes | None:
    """Return the trusted keys in a file of the node, None if there are none."""
    content = files.read(system.path(path))
    try:
        return None if content is None else openpgp.only_pinned(content, pins)
    except AnswersError:
        return None


def _is_enough(present: bytes, source: str, pins: Sequence[str]) -> bool:
    if "://" in source:
        return bool(pins) and set(pins) == set(openpgp.fingerprints(present))
    # a local source that has been deleted meanwhile does not revoke anything
    return bool(source) and not Path(source).exists()


def _read(system: System, answers: Answers, source: str) -> bytes:
    if not source:
        return _bundle_key(system, answers)
    if "://" in source:
        return _fetched(source, answers.names("repository.fingerprint"))
    content = files.read(Path(source))
    if content is None:
        raise AnswersError(f"repository.key = {source}", "no such file", "name the repository's key file")
    return content


def _bundle_key(system: System, answers: Answers) -> bytes:
    unpacked = files.read(system.path(archive.FOLDER) / archive.KEY)
    file = Path(answers.text("bundle.file"))
    if unpacked is not None and not file.exists():
        return unpacked
    return archive.verified_head(file, answers.names("repository.fingerprint"), system)[archive.KEY]


def _fetched(url: str, pins: Sequence[str]) -> bytes:
    if not pins:
        raise AnswersError(
            "repository.fingerprint is missing",
            "a key from the network is trusted only by its fingerprint",
            "ask the repository's owner for it",
        )
    try:
        return http.fetch(url)
    except OSError as error:
        raise StepError(
            f"cannot fetch the repository's key from {url}",
            str(error),
            "check repository.key and the network, and run again",
        ) from error


def _local_fingerprints(answers: Answers, base_url: str) -> Sequence[str]:
    source = _source(answers, base_url)
    content = files.read(Path(source)) if source and "://" not in source else None
    return openpgp.fingerprints(content) if content is not None else ()
