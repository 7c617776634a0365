"""One HTML file that holds all of a report: to keep, to print, to send; it loads nothing from anywhere."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, select_autoescape

from refstack_worker.server.results.exports.report import ExportedRun, Pieces, moment

_TEMPLATES = Environment(
    loader=PackageLoader("refstack_worker.server.results.exports", "templates"),
    autoescape=select_autoescape(default=True),
)


def page(exported: ExportedRun) -> Pieces:
    template = _TEMPLATES.get_template("report.html")
    yield from template.generate(exported=exported, run=exported.run, verdict=exported.verdict, moment=moment)
