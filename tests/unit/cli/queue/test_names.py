"""Names where the API wants numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from refstack_worker.cli.queue import names
from refstack_worker.errors import UsageError

CLOUDS = [{"id": 3, "label": "Prod"}, {"id": 4, "label": "Test"}, {"id": 5, "label": "test"}]


class Clouds:
    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        assert path == "/v1/clouds"
        return {"clouds": CLOUDS}


def test_a_name_in_either_case_and_an_id() -> None:
    assert names.cloud_id(Clouds(), "prod") == 3
    assert names.cloud_id(Clouds(), "4") == 4


@pytest.mark.parametrize(("word", "said"), [("nope", "there is no cloud 'nope'"), ("test", "use the id: 4, 5")])
def test_none_and_several_are_told(word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        names.cloud_id(Clouds(), word)
