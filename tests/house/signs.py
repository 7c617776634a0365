"""Phrases that mark stilted English, and where they stand."""

from __future__ import annotations

import re
from collections import Counter

from tests.house.figures import Finding
from tests.house.prose import Text

SIGNS = {
    "anew": r"anew",
    "mend": r"mend(?:s|ed|ing)?",
    "nobody": r"nobody(?:'s)?",
    "somebody": r"somebody(?:'s)?",
    "whoever": r"whoever(?:'s)?",
    "of whom": r"of whom",
    "is none of": r"(?:is|are) none of",
    # "there is no …" and "is no longer …" are plain English
    "is no …": r"(?<!there\s)(?<!which\s)is no (?!longer\b|more\b|less\b|fewer\b|different\b)\w+",
    "what is no": r"what is no",
    "who may": r"who may",
    "he, his, him": r"(?:he|his|him|himself)",
    "told": r"told",
    "said": r"said",
}
"""Name to regular expression, of whole words; a blank stands for any white space."""

_PATTERNS = {
    name: re.compile(rf"\b(?:{one.replace(' ', chr(92) + 's+')})\b", re.IGNORECASE) for name, one in SIGNS.items()
}

OWN = ("tests/house/", "tests/unit/house/")
"""Files that name the signs themselves."""


def find_signs(texts: list[Text]) -> list[Finding]:
    """Return each sign in these texts, by place."""
    found = []
    for text in texts:
        if text.file.startswith(OWN) or (text.kind == "string" and " " not in text.text):  # a key, not a text
            continue
        for name, pattern in _PATTERNS.items():
            for match in pattern.finditer(text.text):
                place = f"{text.file}:{text.line_of(match.start())}"
                found.append(Finding(place, f"{name} ({text.kind}): {around(text.text, match)}"))
    return found


def around(text: str, match: re.Match[str], width: int = 40) -> str:
    """Return a match with some of its surroundings, in one line."""
    return " ".join(text[max(0, match.start() - width) : match.end() + width].split())


def count_signs(findings: list[Finding]) -> Counter[str]:
    """Return how often each sign was found."""
    return Counter(finding.what.partition(" (")[0] for finding in findings)
