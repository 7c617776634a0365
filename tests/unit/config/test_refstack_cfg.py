from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refstack_worker.config import refstack_cfg
from refstack_worker.errors import ConfigError

OURS = frozenset({"GEARMAN_SERVER", "GEARMAN_PORT", "TEST_METHOD"})


def test_ours_are_read_and_theirs_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "refstack.cfg"
    path.write_text(
        "import os\n# a comment\nGEARMAN_SERVER = ['a', 'b:4731']\nGEARMAN_PORT = 4730\n"
        "SECRET_KEY = os.urandom(3)\nMAIL: str = 'x'\nTEST_METHOD: str = 'gearman'\n"
    )
    assert refstack_cfg.read(path, OURS) == {
        "GEARMAN_SERVER": ["a", "b:4731"],
        "GEARMAN_PORT": 4730,
        "TEST_METHOD": "gearman",
    }


def test_nothing_in_it_is_executed(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    text = f"GEARMAN_PORT = open({str(witness)!r}, 'w').write('x')\n"
    with pytest.raises(ConfigError, match="GEARMAN_PORT: write a plain value"):
        refstack_cfg.parse(text.encode(), "refstack.cfg", OURS)
    assert not witness.exists()


def test_the_message_names_the_line() -> None:
    with pytest.raises(ConfigError, match="refstack.cfg:2"):
        refstack_cfg.parse(b"A = 1\nGEARMAN_PORT == = 3\n", "refstack.cfg", OURS)
    with pytest.raises(ConfigError, match="refstack.cfg:3: TEST_METHOD"):
        refstack_cfg.parse(b"A = 1\n\nTEST_METHOD = gearman\n", "refstack.cfg", OURS)
    with pytest.raises(ConfigError, match=r"refstack\.cfg:1: expected a line 'NAME = value', not indented$"):
        refstack_cfg.parse(b'    TEST_METHOD = "gearman"\n', "refstack.cfg", OURS)


def test_a_missing_file_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="REFSTACK_CFG"):
        refstack_cfg.read(tmp_path / "none", OURS)


@given(st.binary(max_size=200))
@example(b"GEARMAN_PORT = " + b"(" * 5000)
@example(b"GEARMAN_PORT = " + b"-" * 5000 + b"1")
@example(b"\x00")
@example(b"# coding: latin-9000\n")
def test_any_bytes_give_settings_or_one_error(data: bytes) -> None:
    try:
        found = refstack_cfg.parse(data, "refstack.cfg", OURS)
    except ConfigError:
        return
    assert set(found) <= OURS
