"""The calls that a tester makes to the RefStack server."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import urllib.parse
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

from refstack_worker.contract.execute_test import SUBUNIT_FILE, SUMMARY_FILE, TEMPEST_LOG_FILE
from refstack_worker.contract.run_log import LOG_FIELD, packed
from refstack_worker.execute_test.arguments import Arguments
from refstack_worker.execute_test.failures import BadInput, NotPosted, Refused, ServerFailure
from refstack_worker.execute_test.http import Denied, HttpClient, Unavailable, patiently
from refstack_worker.execute_test.tempest.conf import Conf, check_conf
from refstack_worker.execute_test.tempest.selection import check_testcases
from refstack_worker.execute_test.tempest.subunit_v1 import to_v1

UNKNOWN_TEST = b"Invalid test ID"
"""RefStack of 2014's answer, with status 200, to an unknown id."""


@contextlib.contextmanager
def _sensible_answers() -> Iterator[None]:
    """In this context, options and tests that make no sense are the server's, and not those of the caller.

    :raises ServerFailure: there are such.
    """
    try:
        yield
    except BadInput as error:
        raise ServerFailure(f"the RefStack server's response is invalid: {error}") from error


class RefstackServer:
    """The server that a run belongs to."""

    def __init__(self, args: Arguments) -> None:
        self._args = args
        # between two calls are the tests, for hours: a server of many testers would hold a connection for each
        headers = {"Connection": "close"}
        if args.token:
            headers["Authorization"] = f"Bearer {args.token}"
        self._client = HttpClient(args.ca_file or True, headers)

    def miniconf(self) -> Conf:
        """Return the options that the server has for this run.

        :raises ServerFailure: the server cannot be used.
        """
        with _sensible_answers():
            return check_conf(self._get("get-miniconf"), "get-miniconf")

    def testcases(self) -> tuple[str, ...]:
        """Return the tests that the server asks for.

        :raises ServerFailure: the server cannot be used.
        """
        body = self._get("get-testcases")
        with _sensible_answers():
            return check_testcases(body.get("testcases") if isinstance(body, dict) else None, "get-testcases")

    def post(self, folder: Path) -> None:
        """Deliver the result in ``folder``.

        :raises NotPosted: the server could not be reached in time.
        :raises Refused: it will never accept the result.
        """
        query = {"test_id": str(self._args.test_id)}
        if self._args.attempt:
            query["attempt"] = str(self._args.attempt)
        url = f"{self._args.callback}/post-result?{urllib.parse.urlencode(query)}"
        try:
            self._post_patiently(url, folder, packed(folder / TEMPEST_LOG_FILE))
        except Unavailable as error:
            raise NotPosted(f"result not posted: {error}; post it later with --post-only {folder}") from error
        except Denied as error:
            raise Refused(f"the server does not accept the result: {error}; it is in {folder}") from error

    def _post_patiently(self, url: str, folder: Path, log: bytes) -> None:
        try:
            patiently(lambda: self._post_once(url, folder, log), self._args.patience)
        except Denied as error:
            if error.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE or not log:
                raise
            # the result itself may fit
            patiently(lambda: self._post_once(url, folder, b""), self._args.patience)

    def _post_once(self, url: str, folder: Path, log: bytes) -> None:
        try:
            self._send(url, folder, folder / SUBUNIT_FILE, log)
        except Unavailable as error:
            # RefStack of 2014 fails with bytes that are not text; it knows no proof of an attempt
            if error.status != 500 or self._args.token:
                raise
            self._send_as_text(url, folder)

    def _send_as_text(self, url: str, folder: Path) -> None:
        with tempfile.NamedTemporaryFile(dir=folder, prefix="subunit-v1-") as text:
            with open(folder / SUBUNIT_FILE, "rb") as stream:
                to_v1(stream, text)
            text.flush()
            self._send(url, folder, Path(text.name))

    def _send(self, url: str, folder: Path, result: Path, log: bytes = b"") -> None:
        with ResultUpload.of(folder, result, log) as upload:
            headers = {"Content-Type": upload.content_type}
            response = self._client.request("POST", url, data=upload, headers=headers)
        if response.status != 201:
            raise Unavailable(f"{response.url}: response {response.status}, expected 201")
        # RefStack of 2014 confirms in plain text; anything else comes from something in between
        if response.body.strip().strip(b'"') != b"thank you" and not isinstance(response.json(), dict):
            raise Unavailable(f"{response.url}: the JSON of the response does not confirm the result")

    def _ask(self, url: str) -> Any:
        response = self._client.request("GET", url)
        if response.body.strip() == UNKNOWN_TEST:
            raise Denied(response.status, f"{response.url}: there is no test {self._args.test_id}")
        return response.json()

    def _get(self, call: str) -> Any:
        url = f"{self._args.callback}/{call}?test_id={self._args.test_id}"
        try:
            return patiently(lambda: self._ask(url), self._args.patience)
        except Unavailable as error:
            raise ServerFailure(f"the RefStack server cannot be used: {error}") from error
        except Denied as error:
            raise ServerFailure(f"the RefStack server refuses: {error}") from error


class ResultUpload:
    """A multipart body that is read from disk as it is sent: a stream may be larger than the memory."""

    def __init__(self, stream: IO[bytes], size: int, summary: bytes | None, log: bytes = b"") -> None:
        boundary = f"refstack-{secrets.token_hex(16)}"
        self.content_type = f"multipart/form-data; boundary={boundary}"
        head = b""
        if summary is not None:
            head += _part_head(boundary, 'name="summary"', "application/json") + summary + b"\r\n"
        if log:
            disposition = f'name="{LOG_FIELD}"; filename="{TEMPEST_LOG_FILE}.gz"'
            head += _part_head(boundary, disposition, "application/gzip") + log + b"\r\n"
        head += _part_head(boundary, 'name="file"; filename="subunit"', "application/octet-stream")
        self._head, self._stream, self._tail = head, stream, f"\r\n--{boundary}--\r\n".encode()
        self._length = len(head) + size + len(self._tail)
        self._pieces = self._read()
        self._rest = b""

    @classmethod
    @contextlib.contextmanager
    def of(cls, folder: Path, result: Path, log: bytes = b"") -> Iterator[ResultUpload]:
        """Open a result, and the summary in ``folder``. :param log: Tempest's log, compressed."""
        summary = folder / SUMMARY_FILE
        with open(result, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            yield cls(stream, size, summary.read_bytes() if summary.is_file() else None, log)

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        """Return the next piece, as a file does."""
        if not self._rest:
            self._rest = next(self._pieces, b"")
        size = len(self._rest) if size < 0 else size
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def _read(self) -> Iterator[bytes]:
        yield self._head
        while piece := self._stream.read(1 << 18):
            yield piece
        yield self._tail


def _part_head(boundary: str, disposition: str, kind: str) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {kind}\r\n\r\n".encode()
