"""Names where the API wants numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from refstack_worker.cli.queue import names
from refstack_worker.errors import NotFoundError, UsageError

CLOUDS = [{"id": 3, "label": "Prod"}, {"id": 4, "label": "Test"}, {"id": 5, "label": "test"}]


class Clouds:
    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        assert path == "/v1/clouds"
        return {"clouds": CLOUDS}


def test_a_name_in_either_case_and_an_id() -> None:
    assert names.cloud_id(Clouds(), "prod") == 3
    assert names.cloud_id(Clouds(), "4") == 4


def test_several_are_told() -> None:
    with pytest.raises(UsageError, match="use the id: 4, 5"):
        names.cloud_id(Clouds(), "test")


def test_a_name_that_does_not_exist_is_not_found_as_an_id_is_not() -> None:
    with pytest.raises(NotFoundError, match="there is no cloud 'nope'"):
        names.cloud_id(Clouds(), "nope")
