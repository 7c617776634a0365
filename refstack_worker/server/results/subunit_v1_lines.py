"""The lines of a subunit v1 stream, passed to python-subunit's parser so that it loses no test.

That parser overlooks a test that begins while another runs, and an outcome without a ``test:`` line. Where the stream
ends inside details it ends the test. The format is described in python-subunit's README
(https://github.com/testing-cabal/subunit).
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

from subunit import DiscardStream, RemotedTestCase, TestProtocolServer

from refstack_worker.contract.outcomes import group_of
from refstack_worker.errors import ResultError

TEST_NAME = rb"(?:\w+\.)+\w+(?:[\[(][^\r\n]*)?"
"""What is surely a test and no other text: its full name, maybe with attributes or a scenario."""
_DIRECTIVE = re.compile(
    rb"(?P<word>test(?:ing)?|time|tags|success(?:ful)?|failure|error|skip|xfail|uxsuccess)(?P<colon>:*)\s(?P<rest>.*\S.*)\n"
)
_MULTIPART = b" [ multipart"
_DETAILS = (_MULTIPART, b" [")
"""What follows a test's name where its outcome has details."""


@dataclass
class _Begun:
    """A test that has begun."""

    lines: list[bytes]
    """What the parser gets before the outcome: the time, the test, its tags."""
    is_sure: bool
    """It is a test even if it never ends; another line may be something that a test printed."""


class Reader:
    """Gives the parser each test when it ends, so that it has one at a time."""

    def __init__(self, result: Any) -> None:
        self._result = result
        self._parser: Any = TestProtocolServer(result, DiscardStream())
        self._begun: dict[bytes, _Begun] = {}
        self._time = b""
        self._with_details = b""
        """The test whose details are being read."""
        self._is_counted = False
        """The bytes of these details are counted."""

    def read(self, data: bytes) -> bytes:
        """Read a whole stream, whose lines end in ``\\n``; a test that does not end stays begun.

        :return: the lines outside of the details of tests.
        :raises ResultError: it ends inside the details of a test.
        """
        outside = bytearray()
        for line in io.BytesIO(data):
            if self._with_details:
                self._parse(line if self._is_counted else _in_utf_8(line))
                continue
            outside += line
            if found := _DIRECTIVE.fullmatch(_in_utf_8(line)):
                self._take(found)
        if self._with_details:
            name = self._with_details.decode("utf-8", "replace")
            raise ResultError(f"result: the subunit v1 stream is cut off: it ends inside the details of {name[:200]!r}")
        for begun, test in self._begun.items():
            if test.is_sure:
                self._parse(test.lines[0])
                self._result.startTest(RemotedTestCase(begun.decode("utf-8")))
        return bytes(outside)

    def _take(self, found: re.Match[bytes]) -> None:
        word, rest, line = found.group("word", "rest", 0)
        if word in (b"test", b"testing"):
            self._begin(rest, bool(found["colon"]))
        elif word == b"tags":
            # those of a test stand behind its beginning
            if self._begun:
                next(reversed(self._begun.values())).lines.append(line)
            else:
                self._parse(line)
        elif word == b"time":
            if found["colon"] or rest[:1].isdigit():
                self._time = line
        else:
            name = self._name(rest)
            if self._is_outcome_of(name, bool(found["colon"])):
                self._end(name, line)

    def _begin(self, name: bytes, has_colon: bool) -> None:
        is_inside = any(test.is_sure for test in self._begun.values())
        is_sure = _is_test(name) or (has_colon and not is_inside)
        self._begun[name] = _Begun([self._time, b"test: %s\n" % name], is_sure)

    def _end(self, name: bytes, line: bytes) -> None:
        begun = self._begun.pop(name, None)
        for before in begun.lines if begun else [self._time, b"test: %s\n" % name]:
            self._parse(before)
        self._parse(self._time)
        self._with_details, self._is_counted = name, line.endswith(_MULTIPART + b"\n")
        self._parse(line)

    def _parse(self, line: bytes) -> None:
        if line:
            self._parser.lineReceived(line)
        if self._with_details and self._parser.current_test_description is None:
            self._with_details = b""

    def _name(self, rest: bytes) -> bytes:
        """Return the test of an outcome."""
        if rest not in self._begun:
            for mark in _DETAILS:
                if rest.endswith(mark):
                    return rest[: -len(mark)]
        return rest

    def _is_outcome_of(self, name: bytes, has_colon: bool) -> bool:
        """Return whether a line is a test's outcome, and not what a test printed."""
        if name in self._begun or group_of(name.decode("utf-8", "replace")):
            return True
        return has_colon and not self._begun and _is_test(name)


def _in_utf_8(line: bytes) -> bytes:
    """Return a line with a replacement character for what is not UTF-8: old tests wrote in their machine's encoding."""
    return line.decode("utf-8", "replace").encode("utf-8")


def _is_test(name: bytes) -> bool:
    return re.fullmatch(TEST_NAME, name) is not None or bool(group_of(name.decode("utf-8", "replace")))
