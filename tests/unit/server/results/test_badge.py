"""Badge and feed: what they tell, as XML that parses."""

from __future__ import annotations

from xml.etree import ElementTree

from refstack_worker.server.domain.links import CloudVerdict
from refstack_worker.server.results.badge import badge, feed

PASSED = CloudVerdict(12, 3, "Prod", "Example <Storage>", "2026.06", True, 58, 58, 1_800_000_000.0)
FAILED = CloudVerdict(11, 3, "Prod", "Example <Storage>", "2026.06", False, 57, 58, 1_799_990_000.0)
ATOM = "{http://www.w3.org/2005/Atom}"


def test_the_last_verdict_is_on_the_badge() -> None:
    told = ElementTree.fromstring(badge("Example <Storage>", [PASSED, FAILED]))
    assert told.get("aria-label") == "Example <Storage> 2026.06: passed 58/58, 2027-01-15"
    assert "not passed 57/58" in ElementTree.fromstring(badge("x", [FAILED])).get("aria-label", "")
    assert ElementTree.fromstring(badge("x", [])).get("aria-label") == "x: no result"


def test_the_feed_has_an_entry_for_each_run() -> None:
    told = ElementTree.fromstring(feed("Prod", "https://r/feeds/s.atom", "https://r", [PASSED, FAILED]))
    titles = [entry.findtext(f"{ATOM}title") for entry in told.iter(f"{ATOM}entry")]
    assert titles == [
        "Run 12 meets Example <Storage> 2026.06",
        "Run 11 does not meet Example <Storage> 2026.06",
    ]
    assert told.findtext(f"{ATOM}updated") == "2027-01-15T08:00:00Z"
    assert [entry.findtext(f"{ATOM}id") for entry in told.iter(f"{ATOM}entry")][0] == "https://r/runs/12"
    assert ElementTree.fromstring(feed("x", "a", "b", [])).findtext(f"{ATOM}updated") == "1970-01-01T00:00:00Z"
