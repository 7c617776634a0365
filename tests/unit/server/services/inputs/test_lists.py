"""Where lists and guidelines may be fetched from: below what the operator names, and nowhere else on the same site."""

from __future__ import annotations

import pytest

from refstack_worker.errors import UsageError
from refstack_worker.server.services.inputs.lists import check_url

START = "https://lists.example/interop"


@pytest.mark.parametrize("url", [f"{START}/a.json", f"{START}/x/a.json?b=c", f"{START}/a..b.json"])
def test_what_the_operator_allows(url: str) -> None:
    check_url((START,), url, "url")


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
def test_no_way_out_of_it(url: str) -> None:
    with pytest.raises(UsageError, match="does not allow this address"):
        check_url((START,), url, "url")
