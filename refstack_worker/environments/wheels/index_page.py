"""A project's page of a package index, as HTML (PEP 503) or as JSON (PEP 691)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import NamedTuple

ACCEPT = "application/vnd.pypi.simple.v1+html, text/html;q=0.9, application/vnd.pypi.simple.v1+json;q=0.8, */*;q=0.1"
"""What an index is asked for; some have one of the forms alone."""


class Link(NamedTuple):
    """A file that a page names."""

    address: str
    """As it stands there, perhaps relative."""
    name: str
    """What the page calls the file; empty if it has no name for it."""


@dataclass(frozen=True)
class IndexPage:
    links: tuple[Link, ...]
    base: str = ""
    """What the page says its links are relative to, in place of its own address."""


def read_page(text: str) -> IndexPage:
    """Return what a page says.

    :raises ValueError: it is JSON, but not that of an index.
    """
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        return IndexPage(tuple(_json_links(text.removeprefix("\ufeff"))))
    parser = _Parser()
    parser.feed(text)
    parser.close()
    return IndexPage(tuple(Link(address, "".join(words)) for address, words in parser.found), parser.base)


def _json_links(text: str) -> list[Link]:
    try:
        files = json.loads(text)["files"]
        return [Link(str(file["url"]), str(file["filename"])) for file in files]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not the JSON of a package index ({type(error).__name__})") from None


class _Parser(HTMLParser):
    """Collects the addresses that a page links to, and the texts of the links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []
        self.base = ""
        self._is_inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where an anchor leads."""
        leads = next((value for name, value in attrs if name == "href" and value), "")
        if tag == "a":
            self._is_inside = bool(leads)
            if leads:
                self.found.append((leads, []))
        elif tag == "base" and leads:
            self.base = self.base or leads

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._is_inside = False

    def handle_data(self, data: str) -> None:
        """Note the text of the anchor that is open."""
        if self._is_inside:
            self.found[-1][1].append(data.strip())
