"""Only what says where packages are reaches uv; a token never stands on its command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker.builder.locks import uv as uv_module
from refstack_worker.builder.locks.uv import Uv, find_uv
from refstack_worker.cli.package.main import with_system_authorities
from refstack_worker.errors import BuildError

TELL = """#!/bin/sh
env > seen.env
printf '%s\\n' "$@" > seen.words
pwd > seen.folder
"""


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Uv:
    """A program in uv's place that notes how it is called."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    program = tmp_path / "uv"
    program.write_text(TELL)
    program.chmod(0o755)
    (tmp_path / "work").mkdir()
    return Uv(program, tmp_path / "work", "https://me:secret@index.example/simple")


def test_neither_folder_nor_environment_changes_the_answer(
    uv: Uv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_OVERRIDE", "UV_CONSTRAINT", "UV_NO_BUILD", "UV_CONFIG_FILE", "PYTHONPATH", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("UV_INDEX_SITE_PASSWORD", "word")
    uv.run(["pip", "compile"])
    seen = (uv.work / "seen.env").read_text()
    assert "/nowhere" not in seen and "UV_INDEX_SITE_PASSWORD=word" in seen
    assert "UV_DEFAULT_INDEX=https://me:secret@index.example/simple" in seen
    words = (uv.work / "seen.words").read_text().split()
    assert words == ["pip", "compile", "--config-file", str(uv.work / "uv.toml"), "--no-sources"]
    assert (uv.work / "seen.folder").read_text().strip() == str(uv.work)


def test_indexes_of_the_users_settings_stay(uv: Uv, tmp_path: Path) -> None:
    (tmp_path / "config/uv").mkdir(parents=True)
    (tmp_path / "config/uv/uv.toml").write_text(
        'override-dependencies = ["requests==2.31.0"]\nnative-tls = true\n[pip]\nextra-index-url = ["https://b.example"]\n'
        '[[index]]\nname = "site"\nurl = "https://you:word@a.example/simple"\ndefault = true\n'
    )
    uv.run(["build"])
    kept = uv_module.tomllib.loads((uv.work / "uv.toml").read_text())
    assert json.loads(json.dumps(kept)) == {
        "native-tls": True,
        "extra-index-url": ["https://b.example"],
        "index": [{"name": "site", "url": "https://you:word@a.example/simple", "default": True}],
    }
    assert uv.with_credentials("https://a.example/files/x.whl") == "https://you:word@a.example/files/x.whl"


def test_authorities_of_the_system_are_trusted_unless_the_user_says_otherwise(
    uv: Uv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*uv_module.SYSTEM_CERTS, "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert {name: uv.environment.get(name) for name in uv_module.SYSTEM_CERTS} == {
        "UV_SYSTEM_CERTS": "true",
        "UV_NATIVE_TLS": "true",
    }
    assert "SSL_CERT_FILE" not in uv.environment
    assert replace(uv, ca_file="/own.pem").environment["SSL_CERT_FILE"] == "/own.pem"
    (tmp_path / "config/uv").mkdir(parents=True)
    (tmp_path / "config/uv/uv.toml").write_text("native-tls = false\n")
    assert not set(uv.environment) & set(uv_module.SYSTEM_CERTS)
    (tmp_path / "config/uv/uv.toml").unlink()
    monkeypatch.setenv("UV_SYSTEM_CERTS", "false")
    assert "UV_NATIVE_TLS" not in uv.environment and uv.environment["UV_SYSTEM_CERTS"] == "false"


def test_a_file_of_authorities_comes_beside_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("system", "own"):
        (tmp_path / name).write_text(f"{name}\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system"))
    assert with_system_authorities("", tmp_path) == ""
    both = with_system_authorities(str(tmp_path / "own"), tmp_path)
    assert Path(both).read_text().split() == ["system", "own"]
    with pytest.raises(BuildError, match="--ca-file: .*nowhere"):
        with_system_authorities(str(tmp_path / "nowhere"), tmp_path)


def test_users_and_tokens_go_to_their_own_host_alone(uv: Uv) -> None:
    assert uv.with_credentials("https://index.example/x.whl") == "https://me:secret@index.example/x.whl"
    for other in ("http://index.example/x.whl", "https://files.example/x.whl", "https://index.example:444/x.whl"):
        assert uv.with_credentials(other) == other


def test_the_resolver_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "uv" / "bin" / "uv"
    own.parent.mkdir(parents=True)
    own.write_text("")
    own.chmod(0o755)
    monkeypatch.setattr(uv_module.shutil, "which", lambda _: None)
    monkeypatch.setattr(uv_module.sysconfig, "get_path", lambda _: str(tmp_path / "nothing"))
    assert find_uv(tmp_path) == own
