"""Where lists and guidelines may be fetched from: below what the operator names, and nowhere else on the same site."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from refstack_worker.config.server import OutboundSettings
from refstack_worker.errors import UsageError
from refstack_worker.server.services.runs import RunService

START = "https://lists.example/interop"


@pytest.fixture
def desk() -> RunService:
    ledger: Any = SimpleNamespace(settings=SimpleNamespace(outbound=OutboundSettings(list_urls=(START,))))
    return RunService(ledger, lambda: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", [f"{START}/a.json", f"{START}/x/a.json?b=c", f"{START}/a..b.json"])
def test_what_the_operator_allows(desk: RunService, url: str) -> None:
    desk.check_url(url, "url")


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "https://lists.example.evil.example/interop/a.json",
        "https://lists.example@evil.example/interop/",
        "https://lists.example/interoperate/a.json",
        f"{START}/../secrets",
        f"{START}/..",
        f"{START}/%2e%2e/secrets",
        f"{START}/.%2E/secrets",
        f"{START}/%2e%2e%2fsecrets",
        f"{START}/..%5csecrets",
        f"{START}\\..\\secrets",
        "file:///etc/passwd",
        "",
    ],
)
def test_no_way_out_of_it(desk: RunService, url: str) -> None:
    with pytest.raises(UsageError, match="nothing is fetched from there"):
        desk.check_url(url, "url")
