"""Clean roots: what can be tested without making one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from refstack_worker.builder.chroots import machine_name

LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
"""A name that systemd-nspawn takes: a label of RFC 1123."""


@pytest.mark.parametrize("end", ["ab12cd_", "_abc123", "a__b_c1d", "abc12345"])
def test_every_temporary_folder_gives_a_name_that_a_machine_can_have(end: str) -> None:
    assert LABEL.fullmatch(machine_name(Path("/tmp") / f"refstack-root-{end}"))
