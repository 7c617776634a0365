from __future__ import annotations

import pytest

from refstack_worker.contract.keystone_address import v3_address


@pytest.mark.parametrize(
    "address",
    [
        "https://cloud.example:5000",
        "https://cloud.example:5000/",
        "https://cloud.example:5000/v3",
        "https://cloud.example:5000/v3/",
        "https://cloud.example:5000/v2.0",
        "https://cloud.example:5000/v2.0/",
    ],
)
def test_any_version_leads_to_v3(address: str) -> None:
    assert v3_address(address) == "https://cloud.example:5000/v3"


def test_a_path_stays() -> None:
    assert v3_address("https://cloud.example/identity") == "https://cloud.example/identity/v3"
