from __future__ import annotations

import os
from pathlib import Path

import pytest

from refstack_worker.config import toml_file
from refstack_worker.errors import ConfigError


def test_conf_d_is_merged_in_the_order_of_its_names(tmp_path: Path) -> None:
    main = tmp_path / "worker.toml"
    main.write_text('[node]\nname = "a"\nslots = 1\n')
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "20-late.toml").write_text("[node]\nslots = 3\n")
    (tmp_path / "conf.d" / "10-early.toml").write_text("# first\n[node]\nslots = 2\n[run]\nx = 1\n")
    (tmp_path / "conf.d" / "README").write_text("not TOML")
    merged, origins = toml_file.read(main)
    assert merged == {"node": {"name": "a", "slots": 3}, "run": {"x": 1}}
    assert origins["node.slots"] == f"{tmp_path}/conf.d/20-late.toml:2"
    assert origins["node.name"] == f"{main}:2"
    assert origins["run.x"] == f"{tmp_path}/conf.d/10-early.toml:5"


def test_settings_that_windows_saved(tmp_path: Path) -> None:
    path = tmp_path / "worker.toml"
    path.write_bytes(b"\xef\xbb\xbf[node]\r\nslots = 2 \t# two\r\n")
    assert toml_file.read(path) == ({"node": {"slots": 2}}, {"node.slots": f"{path}:2"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[node\n", "worker.toml"),
        ("name = 1\n", "worker.toml:1: name: put settings below"),
        ("[node]\nname = 1\nname = 2\n", "worker.toml"),
        ("\n[[node]]\nname = 1\n", "worker.toml:2: node: put settings below"),
    ],
)
def test_what_is_no_settings_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "worker.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        toml_file.read(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        toml_file.read(tmp_path / "worker.toml")
    (tmp_path / "worker.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        toml_file.read(tmp_path / "worker.toml")


def test_a_closed_folder_gives_a_sentence(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o700)
    (folder / "worker.toml").write_text("")
    os.seteuid(65534)
    try:
        with pytest.raises(ConfigError, match=r"Permission denied; run this as root or as the program's own user"):
            toml_file.read(folder / "worker.toml")
    finally:
        os.seteuid(0)
