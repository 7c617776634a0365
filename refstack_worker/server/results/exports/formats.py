"""The formats in which a result is given out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from refstack_worker.contract import export_formats
from refstack_worker.server.results.exports.junit import junit
from refstack_worker.server.results.exports.page import page
from refstack_worker.server.results.exports.report import ExportedRun, Pieces
from refstack_worker.server.results.exports.tables import as_csv, as_json, as_refstack


@dataclass(frozen=True)
class Format:
    name: str
    suffix: str
    mimetype: str
    make: Callable[[ExportedRun], Pieces]


FORMATS: Mapping[str, Format] = {
    made.name: made
    for made in (
        Format(export_formats.JUNIT, "xml", "application/xml", junit),
        Format(export_formats.HTML, "html", "text/html", page),
        Format(export_formats.CSV, "csv", "text/csv", as_csv),
        Format(export_formats.JSON, "json", "application/json", as_json),
        Format(export_formats.REFSTACK, "refstack.json", "application/json", as_refstack),
    )
}
"""All but the subunit streams, which are given out as they were posted, without secrets, and the signed verdict."""
