"""``refstack-queue key …``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives.asymmetric import rsa

from refstack_worker.cli.queue.main import main
from refstack_worker.contract import upload_key
from refstack_worker.contract.upload_key import PROOF, UploadKey
from tests.support import http_server


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key.pem"
    path.write_text(UploadKey(rsa.generate_private_key(65537, 2048)).pem)
    return path


def test_a_proof_is_what_refstack_verifies(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "proof", str(file), "-f", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    upload_key.verify(made["public_key"], PROOF, made["signature"])


def test_a_key_that_will_not_do_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key").write_text("x")
    assert main(["key", "proof", str(tmp_path / "key")]) == 3
    assert str(tmp_path / "key") in capsys.readouterr().err


def test_a_key_is_stored_and_deleted(file: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t" * 20)
    (tmp_path / "token").chmod(0o600)
    with http_server.serving() as server:
        shown = {"public": "ssh-rsa A", "openid": "https://x/ann"}
        server.on("/v1/me/upload-key", http_server.as_json(shown), http_server.Reply(204, b""))
        access = ["--url", server.url, "--token-file", str(tmp_path / "token")]
        assert main([*access, "key", "set", str(file), "--openid", "https://x/ann"]) == 0
        assert main([*access, "key", "delete"]) == 0
        put, delete = server.asked
    assert (put.method, delete.method) == ("PUT", "DELETE")
    assert json.loads(put.body)["openid"] == "https://x/ann"
