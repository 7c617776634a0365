"""Which tests a run consists of: names, expressions, or a list at an address; and what is refused of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from refstack_worker.contract.test_choice import has_two_names, id_hint
from refstack_worker.errors import PayloadError

MAX_TEST_NAME = 512
"""Characters of a test's name, wherever one is given: in a run, a result or a guideline."""
MAX_REGEXES = 1000
"""Limited because checking each one means compiling it; names need no compiling and are limited only by size."""
MAX_REGEX_CHARACTERS = 8192
"""Limit for all expressions together. Compiling them costs up to 15 µs a character: about 0.1 s at most."""
_WIDE = re.compile(r"(?<!\\)(?:\\\\)*\\[uUN]")
"""Escapes of other letters. With ``(?i)`` each range up to them takes milliseconds to compile, and many fit in."""
_ID = "id-[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_WITH_ID = rf"[A-Za-z_][A-Za-z0-9_.\-(),=:/ ]*\[[A-Za-z0-9_.\-,=:/ ]*{_ID}[A-Za-z0-9_.\-,=:/ ]*\]"
"""Published guidelines have names that no test can have, such as ``test_x:Wherej``; their ids are right."""
_TEST_NAME = re.compile(rf"(?:[A-Za-z_][A-Za-z0-9_.]*(?:[\[(][A-Za-z0-9_.\-\[\](),=:/ ]*)?|{_ID}|{_WITH_ID})\Z")
"""No more than ``execute_test`` takes: what it refuses would end the run on the node."""
_OF_EXPRESSIONS = re.compile(r"\Aregex:|[\\^$*+?|]")
"""What expressions have and test names do not."""

_QUOTED = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*(?:\]|\Z)")
"""What stands for characters in an expression: escapes and sets. A set without end goes on to the end: looked for from
each bracket, its end would cost the square of the length."""
_NOT_EVERYWHERE = re.compile(r"\(\?>|[*+?]\+|\{\d*(?:,\d*)?\}\+|(?<!\A)\(\?[aiLmsux]+\)")
"""What Python 3.9 and 3.11 read differently."""


@dataclass(frozen=True)
class Testcases:
    """Which tests to run; all of what is given counts together."""

    __test__ = False

    names: tuple[str, ...] = ()
    """Full test names, module or package prefixes, or ``id-<uuid>``."""
    regexes: tuple[str, ...] = ()
    """Regular expressions, searched for in the full names."""
    url: str = ""
    """Address of a list, one name a line; only fetched where the operator allows it."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Testcases:
        return cls(tuple(value.get("names", ())), tuple(value.get("regexes", ())), value.get("url", ""))

    def to_json(self) -> dict[str, Any]:
        shown = {"names": list(self.names), "regexes": list(self.regexes), "url": self.url}
        return {key: value for key, value in shown.items() if value}

    def entries(self) -> list[str]:
        """Return them as ``get-testcases`` does: names, and expressions behind ``regex:``."""
        return [*self.names, *(f"regex:{expression}" for expression in self.regexes)]


def check_testcases(testcases: Testcases) -> None:
    """Refuse names that could be read as something else and expressions that do not compile.

    :raises PayloadError: naming the entry.
    """
    for name in testcases.names:
        _check_name(name)
    length = sum(map(len, testcases.regexes))
    if length > MAX_REGEX_CHARACTERS:
        raise PayloadError(f"payload: testcases.regexes: {length} characters; {MAX_REGEX_CHARACTERS} are allowed")
    for expression in testcases.regexes:
        if not expression.isascii() or _WIDE.search(expression):
            raise PayloadError(
                f"payload: testcases.regexes: {expression[:80]!r}: test names are ASCII; write the expression in ASCII"
            )
        if _NOT_EVERYWHERE.search(_QUOTED.sub("x", expression)):
            raise PayloadError(
                f"payload: testcases.regexes: {expression[:80]!r}: possessive quantifiers, atomic groups and flags "
                "after the start differ between versions of Python, and so between nodes"
            )
        try:
            re.compile(expression)
        except (re.error, RecursionError, OverflowError) as error:
            raise PayloadError(f"payload: testcases.regexes: {expression[:80]!r}: {error}") from None
        if "\n" in expression or "\r" in expression or "\0" in expression:
            raise PayloadError(f"payload: testcases.regexes: {expression[:80]!r}: control characters are not allowed")
    if testcases.url:
        split_url(testcases.url, "testcases.url")


def _check_name(name: str) -> None:
    if not _TEST_NAME.match(name):
        hint = "; expressions belong in testcases.regexes (--regex)" if _OF_EXPRESSIONS.search(name) else id_hint(name)
        raise PayloadError(f"payload: testcases.names: {name[:80]!r} is not a test name{hint}")
    if has_two_names(name):
        raise PayloadError(f"payload: testcases.names: {name[:160]!r} has two test names; write one per line")


def split_url(url: str, what: str) -> Any:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - parsing the port is what may fail
    except ValueError as error:
        raise PayloadError(f"payload: {what}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PayloadError(f"payload: {what}: {url[:80]!r} is not an http or https URL")
    if parts.username is not None or parts.password is not None:
        raise PayloadError(f"payload: {what}: a URL with a user or password is not allowed")
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise PayloadError(f"payload: {what}: only printable ASCII without spaces and backslashes is allowed")
    return parts
