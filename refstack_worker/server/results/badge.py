"""Badge (SVG) and feed (Atom, RFC 4287) of the verdicts of a cloud about a program."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from xml.etree.ElementTree import Element, SubElement, tostring  # nosec B405 - made here, nothing is parsed

from refstack_worker.server.domain.links import CloudVerdict

_SVG = "http://www.w3.org/2000/svg"
_ATOM = "http://www.w3.org/2005/Atom"
_LETTER = 6.6
"""Width of a letter of 11 px, on average."""
_GOOD, _BAD, _NONE = "#17683a", "#a5212b", "#546172"


def badge(program: str, verdicts: Sequence[CloudVerdict]) -> bytes:
    """Return a badge of the last verdict. :param verdicts: the newest first."""
    left, right, color = program, "no result", _NONE
    if verdicts:
        last = verdicts[0]
        left = f"{program} {last.guideline}"
        day = datetime.fromtimestamp(last.at, timezone.utc).strftime("%Y-%m-%d")
        right = f"{'passed' if last.passed else 'not passed'} {last.count}/{last.total}, {day}"
        color = _GOOD if last.passed else _BAD
    widths = [round(len(text) * _LETTER) + 12 for text in (left, right)]
    total = str(sum(widths))
    svg = Element("svg", xmlns=_SVG, width=total, height="20", role="img", viewBox=f"0 0 {total} 20")
    svg.set("aria-label", f"{left}: {right}")
    SubElement(svg, "title").text = f"{left}: {right}"
    for x, width, text, fill in ((0, widths[0], left, "#38424e"), (widths[0], widths[1], right, color)):
        SubElement(svg, "rect", x=str(x), width=str(width), height="20", fill=fill)
        style = {"font-family": "Verdana,DejaVu Sans,sans-serif", "font-size": "11", "text-anchor": "middle"}
        label = SubElement(svg, "text", {**style, "x": str(x + width / 2), "y": "14", "fill": "#fff"})
        label.set("textLength", str(width - 12))
        label.text = text
    return _bytes(svg)


def feed(title: str, address: str, site: str, verdicts: Sequence[CloudVerdict]) -> bytes:
    """Return the last verdicts as a feed.

    :param address: URL of the feed itself.
    :param site: base URL of the pages.
    """
    root = Element("feed", xmlns=_ATOM)
    SubElement(root, "id").text = address
    SubElement(root, "title").text = title
    SubElement(root, "updated").text = _time(verdicts[0].at if verdicts else 0.0)
    SubElement(root, "link", rel="self", href=address)
    SubElement(SubElement(root, "author"), "name").text = "RefStack"
    for one in verdicts:
        page = f"{site}/runs/{one.test_id}"
        entry = SubElement(root, "entry")
        SubElement(entry, "id").text = page
        word = "meets" if one.passed else "does not meet"
        SubElement(entry, "title").text = f"Run {one.test_id} {word} {one.program} {one.guideline}"
        SubElement(entry, "updated").text = _time(one.at)
        SubElement(entry, "link", href=page)
        SubElement(entry, "summary").text = f"{one.count} of {one.total} required tests passed."
    return _bytes(root)


def _bytes(element: Element) -> bytes:
    made: bytes = tostring(element, "utf-8", xml_declaration=True)
    return made


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
