"""The files in which a result is given out: their names in the API and the commands, their labels on the pages."""

from __future__ import annotations

SUBUNIT = "subunit"
"""The stream as it was posted, without secrets."""
SUBUNIT_V1 = "subunit-v1"
"""The same as version 1, which RefStack of 2014 reads."""
SIGNED_VERDICT = "verdict"
JUNIT = "junit"
HTML = "html"
CSV = "csv"
JSON = "json"
REFSTACK = "refstack"
"""The request that uploads a result to a RefStack server."""

ALL = (SUBUNIT, SUBUNIT_V1, JUNIT, HTML, CSV, JSON, REFSTACK, SIGNED_VERDICT)

ON_PAGES = {SUBUNIT: "Subunit stream", JUNIT: "JUnit XML", HTML: "HTML report", CSV: "CSV", JSON: "JSON"}
"""Formats that a run's page offers, with their labels."""
