"""The pages of clouds: list, enter, look at, check, how their runs went over time; and the guidelines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import g, redirect, request

from refstack_worker.errors import UsageError
from refstack_worker.server.api.clouds import new_cloud
from refstack_worker.server.results import guideline_file
from refstack_worker.server.web.chart import plot
from refstack_worker.server.web.pages import Answer, Web
from refstack_worker.server.web.runs import passwords

_FIELDS = ("label", "endpoint_v3", "region", "release", "test_user", "alt_user", "admin_user")
_OPTIONS = (("project_name", "identity", "project_name"), ("admin_project_name", "auth", "admin_project_name"))


class CloudPages:
    """What a browser does with clouds and guidelines."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._ledger = web.ledger
        self._desk = web.desk
        for method, path, view in (
            ("GET", "/clouds", self.clouds),
            ("GET", "/clouds/new", self.new),
            ("POST", "/clouds/new", self.add),
            ("GET", "/clouds/<int:cloud_id>", self.cloud),
            ("GET", "/clouds/<int:cloud_id>/change", self.edit),
            ("POST", "/clouds/<int:cloud_id>/change", self.change),
            ("POST", "/clouds/<int:cloud_id>/check", self.check),
            ("POST", "/clouds/<int:cloud_id>/delete", self.delete),
            ("GET", "/guidelines", self.guidelines),
            ("POST", "/guidelines", self.add_guideline),
        ):
            web.page(method, path, view, f"cloud_{view.__name__}")

    def clouds(self) -> Answer:
        """List."""
        return self._web.show("clouds.html", clouds=self._ledger.clouds.all(self._desk.viewer(g.caller)))

    def new(self) -> Answer:
        """Show the form."""
        return self._web.show("new_cloud.html", form={}, wrong="", known=None)

    def add(self) -> Answer:
        """Enter a cloud, and look at it at once."""
        form = request.form
        try:
            known = self._ledger.clouds.add(new_cloud(_wish(form), g.caller))
        except UsageError as error:
            return self._web.show("new_cloud.html", form=form, wrong=str(error), known=None)
        self._desk.check_cloud(g.caller, known.cloud.id, _conf(form))
        return redirect(f"/clouds/{known.cloud.id}", 303)

    def cloud(self, cloud_id: int) -> Answer:
        """Show one."""
        known = self._desk.cloud(g.caller, cloud_id)
        history = self._ledger.clouds.history(cloud_id)
        return self._web.show("cloud.html", known=known, history=history, plot=plot(history))

    def edit(self, cloud_id: int) -> Answer:
        """Show the form with what is known."""
        known = self._desk.cloud(g.caller, cloud_id)
        form: dict[str, str] = {name: str(getattr(known.cloud, name, "")) for name in _FIELDS}
        form.update(region=known.region, release=known.release)
        return self._web.show("new_cloud.html", form=form, wrong="", known=known)

    def change(self, cloud_id: int) -> Answer:
        """Change it, and look at it anew."""
        known = self._desk.cloud(g.caller, cloud_id)
        form = request.form
        try:
            self._ledger.clouds.change(cloud_id, new_cloud(_wish(form), g.caller))
        except UsageError as error:
            return self._web.show("new_cloud.html", form=form, wrong=str(error), known=known)
        self._desk.check_cloud(g.caller, cloud_id, _conf(form))
        return redirect(f"/clouds/{cloud_id}", 303)

    def check(self, cloud_id: int) -> Answer:
        """Look at it."""
        self._desk.check_cloud(g.caller, cloud_id, _conf(request.form))
        return redirect(f"/clouds/{cloud_id}", 303)

    def delete(self, cloud_id: int) -> Answer:
        """Remove it."""
        self._desk.cloud(g.caller, cloud_id)
        self._ledger.clouds.delete(cloud_id)
        return redirect("/clouds", 303)

    def guidelines(self, wrong: str = "") -> Answer:
        """List guidelines with their programs."""
        viewer = self._desk.viewer(g.caller)
        shown = []
        for stored in self._ledger.guidelines.all(viewer):
            _about, found = self._ledger.guidelines.get(stored.id, viewer)
            rows = [
                (one.name, one.description, len(list(one.tests())), len(one.capabilities["required"]))
                for one in found.programs.values()
            ]
            shown.append((stored, rows))
        return self._web.show(
            "guidelines.html", guidelines=shown, wrong=wrong, allowed=self._ledger.settings.outbound.list_urls
        )

    def add_guideline(self) -> Answer:
        """Keep one: a file, or an address."""
        file = request.files.get("file")
        given = file.read(guideline_file.MAX_BYTES + 1).decode("utf-8", "replace") if file else ""
        url = request.form.get("url", "").strip()
        if bool(given) == bool(url):
            return self.guidelines("A file or an address, one of the two, please.")
        try:
            self._desk.add_guideline(g.caller, given, url)
        except UsageError as error:
            return self.guidelines(str(error))
        return redirect("/guidelines", 303)


def _wish(form: Mapping[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {name: form.get(name, "").strip() for name in _FIELDS}
    if form.get("keep") == "yes":
        body["conf_json"] = _conf(form)
    return body


def _conf(form: Mapping[str, str]) -> dict[str, dict[str, str]]:
    found = passwords(form)
    for field, section, option in _OPTIONS:
        if form.get(field, "").strip():
            found.setdefault(section, {})[option] = form[field].strip()
    return found
