"""``refstack-worker enrol``: gives this node a key of its own, or another in its place."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cliff.show import ShowOne
from nacl.public import PrivateKey

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.contract import enrolment, keys
from refstack_worker.contract.enrolment import EnrolmentToken
from refstack_worker.contract.envelope import NodeChannel
from refstack_worker.contract.text_files import read_limited
from refstack_worker.errors import ConfigError, KeyFileError, RefusedError, ServerError, UsageError
from refstack_worker.filesystem import write_whole
from refstack_worker.worker.server_api.connection import ServerConnection

FROM_ENV = "REFSTACK_ENROLMENT_TOKEN"

_NOT_CONFIRMED = "# sent to the server, which has not confirmed it: 'refstack-worker enrol --rotate' sends it again"
"""Stands before the last line of the key file while a rotation is under way."""


class Enrol(ShowOne):
    """Give this node a key of its own: 'refstack-queue worker enrol NODE' on the server makes the token for it.

    The token is read from --token-file, from stdin, or from REFSTACK_ENROLMENT_TOKEN. The key goes into
    keys.fleet_private, before what is there; the server's keys into keys.server_public if that file is missing.
    With --rotate the node replaces its own key, without a token; runs under way are still opened with the old one.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--server", default="", metavar="URL", help="default: the first of server.urls")
        parser.add_argument("--token-file", type=Path, metavar="FILE", help="file with the token; -: stdin")
        parser.add_argument("--rotate", action="store_true", help="replace the key that this node enrolled before")
        parser.add_argument(
            "--only", action="store_true", help="remove the other keys, such as the fleet's, from keys.fleet_private"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        settings: Any = getattr(self.app, "settings", None)
        assert isinstance(settings, WorkerSettings)  # noqa: S101 - for the type checker
        if parsed_args.only and parsed_args.rotate:
            raise UsageError("--only: not with --rotate: runs under way are sealed to the old key")
        url = parsed_args.server or next(iter(settings.server.urls), "")
        if not url:
            raise ConfigError(f"{settings.file}: server.urls is empty; name the server here or with --server")
        connection = ServerConnection(url, settings.server)
        try:
            if parsed_args.rotate:
                key = rotate(settings, connection)
            else:
                key = enrol(settings, connection, token_of(parsed_args.token_file), parsed_args.only)
        except (RefusedError, ServerError) as error:
            raise type(error)(f"not enrolled: {error}") from error
        finally:
            connection.close()
        return ("node", "key", "file", "next"), (
            settings.node.name, key, str(settings.keys.fleet_private), "systemctl reload refstack-worker"
        )  # fmt: skip


def token_of(file: Path | None) -> EnrolmentToken:
    """Return the token from a file, stdin or the environment. :raises UsageError: there is none."""
    if file is not None and str(file) != "-":
        try:
            return EnrolmentToken.parse(read_limited(file).decode("ascii"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{file}: cannot be read: {error}") from error
    given = os.environ.get(FROM_ENV, "") if file is None else ""
    return EnrolmentToken.parse(given or sys.stdin.readline())


def enrol(settings: WorkerSettings, connection: ServerConnection, token: EnrolmentToken, only: bool = False) -> str:
    """Enrol a new key with a token and return its id.

    :raises RefusedError: the server does not accept the token.
    :raises KeyFileError: the key file cannot be written, or another server answered.
    """
    path = settings.keys.fleet_private
    made = PrivateKey.generate()
    line = keys.public_line(keys.SEAL_PRIVATE, bytes(made))
    others = [] if only else _lines(path)
    _write(path, [*others, line])  # before the server knows the key: from then on runs are sealed to it
    body = {"token": str(token), "public": enrolment.write_public(bytes(made.public_key))}
    try:
        answer = connection.post(enrolment.PATH.format(name=settings.node.name), body)
        lines = enrolment.server_keys(answer.get("server_keys"), token.server_key)
    except Exception:
        _write(path, others)
        raise
    _write(path, [line, *others])
    if not settings.keys.server_public.exists():
        _write(settings.keys.server_public, lines, 0o644)
    return str(answer["key"])


def rotate(settings: WorkerSettings, connection: ServerConnection) -> str:
    """Enrol another key with the one that this node has and return its id; the old ones stay for runs under way.

    A key that an earlier rotation sent, and whose answer was lost, is sent again: the server may have taken it.

    :raises RefusedError: the key was revoked, or is not this node's.
    """
    path = settings.keys.fleet_private
    lines = _lines(path)
    own, servers = keys.load_seal_private(path), keys.load_sign_public(settings.keys.server_public)
    is_again = _is_under_way(path)
    before, line = (lines[:-1], lines[-1]) if is_again else (lines, _new_line())
    # last: it opens what is sealed to it, should the answer not arrive; the node still signs its messages with the old
    _write(path, [*before, _NOT_CONFIRMED, line])
    made = PrivateKey(keys.parse_line(path, len(lines), line, keys.SEAL_PRIVATE))
    # a key that was replaced does not speak for ever, but the one that the server took then speaks for itself
    senders = [own.newest, *([own.keys[-1]] if is_again else [])]
    try:
        key = _send(settings, connection, [NodeChannel.of_node(keys.Keyring((one,)), servers) for one in senders], made)
    except RefusedError as error:
        # refused for another reason, the key may still have been taken when it was sent before
        if not is_again or error.reason == enrolment.NOT_ITS_KEY:
            _write(path, before)
        raise
    _write(path, [line, *before][: enrolment.MAX_LIVE_KEYS])
    return key


def _send(
    settings: WorkerSettings, connection: ServerConnection, channels: Sequence[NodeChannel], made: PrivateKey
) -> str:
    """Send a new key over the first channel whose key still speaks for the node, and return its id."""
    body = json.dumps({"name": settings.node.name, "public": enrolment.write_public(bytes(made.public_key))}).encode()
    address = enrolment.PATH.format(name=settings.node.name)
    for channel in channels[:-1]:
        try:
            return str(connection.post(address, channel.seal(body))["key"])
        except RefusedError as error:
            if error.reason != enrolment.NOT_ITS_KEY:
                raise
    return str(connection.post(address, channels[-1].seal(body))["key"])


def _new_line() -> str:
    return keys.public_line(keys.SEAL_PRIVATE, bytes(PrivateKey.generate()))


def _is_under_way(path: Path) -> bool:
    """Return whether the last key of the file was sent to the server and is not confirmed."""
    return _text(path).splitlines()[-2:-1] == [_NOT_CONFIRMED]


def _lines(path: Path) -> list[str]:
    """Return the lines of a key file that are keys; none of a file that is not there."""
    return [line for line in _text(path).splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path}: cannot be read: {error}; run this as root") from error


def _write(path: Path, lines: Sequence[str], mode: int = 0o600) -> None:
    """Replace a key file whole, with its owner; without lines it goes."""
    if not lines:
        path.unlink(missing_ok=True)
        return
    before = os.umask(0o077)  # never readable for others, not even while it is written
    try:
        owner = path.stat() if path.exists() else path.parent.stat()
        write_whole(path, ("\n".join(lines) + "\n").encode("ascii"), mode)
        if os.geteuid() == 0:
            os.chown(path, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be written: {error.strerror}; run this as root") from error
    finally:
        os.umask(before)
