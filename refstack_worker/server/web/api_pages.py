"""The reference of the API as a page, made of the same descriptions as the OpenAPI document."""

from __future__ import annotations

from typing import Any

from flask import g, render_template

from refstack_worker.server.serving.context import context
from refstack_worker.server.web.pages import WEB, Answer

_METHODS = ("get", "post", "put", "delete")


@WEB.get("/docs/api")
def show_api_reference() -> Answer:
    """Show every call of the API; needs no token, as the OpenAPI document needs none."""
    found = context().openapi()
    by_tag: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in found["tags"]}
    for path, methods in found["paths"].items():
        for method in _METHODS:
            if method in methods:
                by_tag[methods[method]["tags"][0]].append({"method": method.upper(), "path": path, **methods[method]})
    return render_template(
        "api.html",
        caller=g.get("caller"),
        form_key=g.get("form_key", ""),
        found=found,
        by_tag=by_tag,
        server=context().settings.web.address,
    )
