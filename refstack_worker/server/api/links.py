"""Pages of a list: the body names the cursor, and a Link header the whole address (RFC 8288)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Response, jsonify, request


def next_page(body: dict[str, Any], cursor: str, value: int | None) -> Response:
    """Return a page of a list. :param value: where the next page begins; None: this is the last."""
    answer = jsonify(body)
    if value is not None:
        query = [(name, text) for name, text in request.args.items(multi=True) if name != cursor]
        answer.headers["Link"] = f'<{request.path}?{urlencode([*query, (cursor, value)])}>; rel="next"'
    return answer
