"""The key under which results are uploaded: what OpenSSL and PyJWT's rules say of its signatures."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from refstack_worker import process
from refstack_worker.contract import upload_key
from refstack_worker.contract.upload_key import UploadKey
from refstack_worker.errors import KeyFileError, SignatureError

PEM = serialization.Encoding.PEM
PLAIN = serialization.NoEncryption()


def written(folder: Path, key: Any = None, form: Any = serialization.PrivateFormat.PKCS8) -> Path:
    key = key or rsa.generate_private_key(65537, 2048)
    file = folder / "key"
    file.write_bytes(key.private_bytes(PEM, form, PLAIN))
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("key"))


def test_openssl_verifies_the_signature(file: Path, tmp_path: Path) -> None:
    key = UploadKey.read(file)
    (tmp_path / "body").write_bytes(b"the body")
    (tmp_path / "signature").write_bytes(bytes.fromhex(key.sign(b"the body")))
    half = serialization.load_ssh_public_key(key.public.encode())
    (tmp_path / "key.pub").write_bytes(half.public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    words = ["openssl", "dgst", "-sha256", "-verify", "key.pub", "-signature", "signature", "body"]
    assert "Verified OK" in process.run(words, process.Options(cwd=tmp_path)).stdout
    (tmp_path / "body").write_bytes(b"another body")
    assert process.run(words, process.Options(cwd=tmp_path, check=False)).returncode != 0


def test_a_signature_of_openssl_is_verified(file: Path, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"the body")
    process.run(
        ["openssl", "dgst", "-sha256", "-sign", str(file), "-out", "signature", "body"], process.Options(cwd=tmp_path)
    )
    signature = (tmp_path / "signature").read_bytes().hex()
    public = UploadKey.read(file).public
    upload_key.verify(f"{public} ann@laptop\n", b"the body", signature)
    with pytest.raises(SignatureError, match="does not match this key"):
        upload_key.verify(public, b"another body", signature)


@pytest.mark.parametrize(("public", "signature"), [("", "00"), ("ssh-rsa AAAA", "00"), ("x" * 100, ""), (None, "zz")])
def test_what_is_no_key_or_signature_is_refused(file: Path, public: str | None, signature: str) -> None:
    with pytest.raises(SignatureError):
        upload_key.verify(UploadKey.read(file).public if public is None else public, b"", signature)


def test_an_elliptic_key_cannot_verify() -> None:
    half = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    with pytest.raises(SignatureError, match="not an RSA key"):
        upload_key.verify(half.public_bytes(*form).decode(), b"", "00")


def test_a_key_is_read_in_either_form_and_kept_as_pem(tmp_path: Path) -> None:
    key = UploadKey.read(written(tmp_path, form=serialization.PrivateFormat.OpenSSH))
    assert UploadKey.parse(key.pem.encode(), "pem").public == key.public


def test_keys_that_will_not_do(tmp_path: Path) -> None:
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
    for kind in (small, ec.generate_private_key(ec.SECP256R1())):
        with pytest.raises(KeyFileError, match="RSA key"):
            UploadKey.read(written(tmp_path, kind))
    (tmp_path / "empty").write_text("")
    for name in ("empty", "missing"):
        with pytest.raises(KeyFileError):
            UploadKey.read(tmp_path / name)


def test_a_web_token_is_signed_over_head_and_claims(file: Path) -> None:
    key = UploadKey.read(file)
    head, claims, signature = key.web_token({"user_openid": "https://x/ann", "exp": 1}).split(".")

    def opened(part: str) -> bytes:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

    assert json.loads(opened(head)) == {"alg": "RS256", "typ": "JWT"}
    assert json.loads(opened(claims)) == {"user_openid": "https://x/ann", "exp": 1}
    public = key.private.public_key()
    public.verify(opened(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())


def test_a_key_does_not_show_itself(file: Path) -> None:
    assert "PRIVATE" not in repr(UploadKey.read(file))
