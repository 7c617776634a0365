"""What a run asks for, in words."""

from __future__ import annotations

import pytest

from refstack_worker.server.domain.runs import RunSpec

TWO = {"keystone-tempest-plugin": "0.22.0", "designate-tempest-plugin": "0.30.0"}


@pytest.mark.parametrize(
    ("spec", "needs"),
    [
        (RunSpec("33.0.0"), "33.0.0"),
        (RunSpec("", "2025.1", tag="eu"), "2025.1 with the tag eu"),
        (RunSpec("47.0.0", plugins=TWO), "47.0.0 with designate-tempest-plugin 0.30.0, keystone-tempest-plugin 0.22.0"),
        (RunSpec("47.0.0", plugins={"heat": "3.0.0"}, tag="eu"), "47.0.0 with heat 3.0.0 and the tag eu"),
    ],
)
def test_a_node_needs_version_plugins_and_tag(spec: RunSpec, needs: str) -> None:
    assert spec.needs == needs
