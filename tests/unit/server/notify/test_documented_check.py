"""The code that docs/users.md gives to receivers accepts what the server signs, and nothing else."""

from __future__ import annotations

import re
import textwrap
import time
from pathlib import Path
from typing import Any

from refstack_worker.server.notify import signature

PAGE = Path(__file__).resolve().parents[4] / "docs" / "users.md"


def test_the_documented_check() -> None:
    (code,) = re.findall(r"\n((?:    .*\n|\n)*    import base64(?:.*\n)(?:    .*\n|\n)*)", PAGE.read_text())
    names: dict[str, Any] = {}
    exec(textwrap.dedent(code), names)  # noqa: S102 - our own page
    secret, now = signature.new_secret(), time.time()
    headers = signature.headers(secret, "msg_1", now, b"{}")
    assert names["is_good"](secret, headers, b"{}")
    assert not names["is_good"](secret, headers, b"[]")
    assert not names["is_good"](secret, signature.headers(secret, "msg_1", now - 600, b"{}"), b"{}")
