"""What links lead to without a sign-in: a run's report, a badge, a feed; the forms that make them; and the matrix."""

from __future__ import annotations

from flask import Response, make_response, redirect, request

from refstack_worker.contract.export_formats import HTML
from refstack_worker.errors import NotFoundError, UsageError
from refstack_worker.server.domain.links import CloudVerdict, Link
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.results.badge import badge, feed
from refstack_worker.server.services import access
from refstack_worker.server.services.links import (
    MAX_DAYS,
    SHOWN_VERDICTS,
    link_to_cloud,
    link_to_run,
    reader_of,
    remove_link,
)
from refstack_worker.server.services.matrix import MAX_VERDICTS, matrix
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.files import exported_file
from refstack_worker.server.serving.guard import count_wrong
from refstack_worker.server.serving.responses import number, text
from refstack_worker.server.web.clouds import show_cloud_forms
from refstack_worker.server.web.forms import errors_of
from refstack_worker.server.web.pages import WEB, Answer, caller, page, scope, show, typed
from refstack_worker.server.web.run import show_run_forms

_SECONDS = "max-age=300"
"""Badges and feeds are asked for often, and change seldom."""


@page("GET", "/matrix")
def show_matrix() -> Answer:
    """Show the last verdicts of clouds, by program and guideline."""
    return show("matrix.html", matrix=matrix(context().ledger.links.verdicts(scope(), MAX_VERDICTS)))


@page("POST", "/runs/<int:test_id>/links")
def add_run_link(test_id: int) -> Answer:
    """Make a link to the report of a run, and show it this once."""
    try:
        days = number(request.form.get("days", "30"), "days", 1, MAX_DAYS)
        _made, secret = link_to_run(context().ledger, caller(), test_id, days)
    except UsageError as error:
        return make_response(show_run_forms(typed(), errors_of(error, {}), test_id), 400)
    return _shown({"Report": f"/shared/{secret}"}, f"/runs/{test_id}", "the run")


@page("POST", "/runs/<int:test_id>/links/<int:link_id>/delete")
def delete_run_link(test_id: int, link_id: int) -> Answer:
    access.owned_run(context().ledger, caller(), test_id)
    remove_link(context().ledger, caller(), context().ledger.links.of_run(test_id), link_id)
    return redirect(f"/runs/{test_id}", 303)


@page("POST", "/clouds/<int:cloud_id>/links")
def add_cloud_link(cloud_id: int) -> Answer:
    """Make badge and feed of a cloud and a program, and show their addresses this once."""
    try:
        _made, secret = link_to_cloud(context().ledger, caller(), cloud_id, text(request.form, "program", 200))
    except UsageError as error:
        return make_response(show_cloud_forms(typed(), errors_of(error, {}), cloud_id), 400)
    return _shown(
        {"Badge": f"/badges/{secret}.svg", "Feed": f"/feeds/{secret}.atom"}, f"/clouds/{cloud_id}", "the cloud"
    )


@page("POST", "/clouds/<int:cloud_id>/links/<int:link_id>/delete")
def delete_cloud_link(cloud_id: int, link_id: int) -> Answer:
    access.visible_cloud(context().ledger, caller(), cloud_id)
    remove_link(context().ledger, caller(), context().ledger.links.of_cloud(cloud_id), link_id)
    return redirect(f"/clouds/{cloud_id}", 303)


@WEB.get("/shared/<secret>")
def show_shared_run(secret: str) -> Answer:
    """Show the report of a run to anyone who has the link."""
    found = _link(secret)
    if found.test_id is None:
        raise NotFoundError("This link is unknown or has expired.")
    answer = exported_file(context(), reader_of(context().ledger, found), found.test_id, HTML)
    answer.headers["Content-Disposition"] = "inline"
    answer.headers["X-Robots-Tag"] = "noindex"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


@WEB.get("/badges/<secret>.svg")
def show_badge(secret: str) -> Answer:
    program, verdicts = _verdicts(secret)[1:]
    return _file(badge(program, verdicts), "image/svg+xml")


@WEB.get("/feeds/<secret>.atom")
def show_feed(secret: str) -> Answer:
    """Show the last verdicts of a cloud to a feed reader."""
    cloud, program, verdicts = _verdicts(secret)
    site = context().settings.web.address
    return _file(feed(f"{cloud}: {program}", f"{site}{request.path}", site, verdicts), "application/atom+xml")


def _verdicts(secret: str) -> tuple[str, str, list[CloudVerdict]]:
    found = _link(secret)
    if found.cloud_id is None:
        raise NotFoundError("This link is unknown or has expired.")
    cloud = context().ledger.clouds.get(found.cloud_id).cloud.label
    return cloud, found.program, context().ledger.links.verdicts_of(found.cloud_id, found.program, SHOWN_VERDICTS)


def _link(secret: str) -> Link:
    try:
        return context().ledger.links.find(secret)
    except NotFoundError:
        # a secret cannot be guessed; attempts to guess one are slowed down anyway
        if count_wrong(context()):
            raise refused("busy", "Too many unknown links from your address. Try again in a minute.") from None
        raise


def _shown(paths: dict[str, str], back: str, name: str) -> Answer:
    site = context().settings.web.address
    urls = {label: f"{site}{path}" for label, path in paths.items()}
    answer = make_response(show("link.html", urls=urls, back=back, name=name))
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _file(data: bytes, mimetype: str) -> Response:
    answer = Response(data, mimetype=mimetype)
    answer.headers["Cache-Control"] = _SECONDS
    answer.headers["Content-Security-Policy"] = "default-src 'none'"
    return answer
