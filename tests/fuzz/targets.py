"""What is fuzzed: each target takes bytes, and raises only where the product does something that it must not.

A refusal with the product's own error is right; any other exception, a wrong answer, or a file outside its place is a
finding. Where a checksum or a seal would keep every change from getting further than the first check, a first byte says
whether the bytes are the thing itself or its content, around which the checksum or the seal is made here.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import tomli_w
from nacl.public import PrivateKey, SealedBox
from nacl.signing import SigningKey

from refstack_worker.config import refstack_cfg
from refstack_worker.config import server as server_config
from refstack_worker.contract import envelope as sealing
from refstack_worker.contract import keys
from refstack_worker.contract.payload import Payload
from refstack_worker.environments import lock
from refstack_worker.environments.wheels import unpack
from refstack_worker.errors import ConfigError, LockError, PayloadError, ResultError, SealError, WheelError
from refstack_worker.execute_test.tempest.result_stream import ResultStream
from refstack_worker.server.results import subunit as results

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")

Target = Callable[[bytes], None]

SHM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Memory: the targets that need files write some for each input."""


class Finding(AssertionError):
    """The product did what it must not."""


def payload(data: bytes) -> None:
    """The payload's parser; what it takes is written and read back the same."""
    with contextlib.suppress(PayloadError):
        found = Payload.from_bytes(data)
        if Payload.from_bytes(found.to_bytes()) != found:
            raise Finding("a payload is not what it was after writing it and reading it back")


_FLEET = PrivateKey(b"\1" * 32)
_SIGN = SigningKey(b"\2" * 32)
_FLEET_ID = keys.key_id(bytes(_FLEET.public_key))
_SIGN_ID = keys.key_id(bytes(_SIGN.verify_key))
_OPENER = sealing.Opener(keys.Keyring(((_FLEET_ID, _FLEET),)), keys.Keyring(((_SIGN_ID, _SIGN.verify_key),)))


def envelope(data: bytes) -> None:
    """The three envelopes: as they come; and with the fuzzer's bytes under a seal that is right."""
    kind, content = data[:1], data[1:]
    if kind == b"s":
        box = bytes(SealedBox(_FLEET.public_key).encrypt(content))
        data = sealing._envelope("rsw1", _FLEET_ID, box)
    elif kind == b"S":
        signature = _SIGN.sign(sealing._signed_text(_FLEET_ID, content)).signature
        box = bytes(SealedBox(_FLEET.public_key).encrypt(_SIGN_ID.encode() + signature + content))
        data = sealing._envelope("rsw1", _FLEET_ID, box)
    opened: list[object] = []
    with contextlib.suppress(PayloadError):
        opened.append(_OPENER.open(data))
    if opened and kind != b"S":
        raise Finding("an envelope opened that the server did not sign")
    with contextlib.suppress(PayloadError):
        sealing.open_node_message(
            data, keys.Keyring(((_SIGN_ID, _SIGN),)), keys.Keyring(((_FLEET_ID, _FLEET.public_key),))
        )
        raise Finding("a node's message opened that no node wrote")
    with contextlib.suppress(SealError, PayloadError):
        sealing.open_at_rest(data, keys.Keyring(((_FLEET_ID, _FLEET),)))


def pylock(data: bytes) -> None:
    """The reader of locks: the file as it comes, or one whose texts the bytes are; nothing names a place outside."""
    with contextlib.suppress(LockError):
        found = lock.parse_lock(Path("pylock.toml"), _lock(data[1:]) if data[:1] == b"l" else data)
        if "/" in found.set_name or found.set_name.startswith("."):
            raise Finding(f"a lock is called {found.set_name!r}")
        for wheel in found.wheels:
            if wheel.path.startswith("/") or ".." in Path(wheel.path).parts or "/" in wheel.filename:
                raise Finding(f"a lock names {wheel.path!r}, {wheel.filename!r}")


_LOCKED = ("name", "version", "wheel", "path", "sha256", "tempest", "plugin", "environment", "python", "tests")
"""The texts of a lock that a recipe may give, in its order."""


def _lock(recipe: bytes) -> bytes:
    """Make a lock whose texts are parted by 0x1f; what is empty or missing is as in a lock of ours."""
    usual = {"name": "tempest", "version": "47.0.0", "wheel": "tempest-47.0.0-py3-none-any.whl", "sha256": "a" * 64}
    usual |= {"tempest": "47.0.0", "plugin": "heat-tempest-plugin", "tests": "1542"}
    texts = [text.decode("latin-1") for text in recipe.split(b"\x1f")]
    usual |= {name: text for name, text in zip(_LOCKED, texts) if text}
    wheel: dict[str, object] = {"name": usual["wheel"], "hashes": {"sha256": usual["sha256"]}}
    if "path" in usual:
        wheel["path"] = usual["path"]
    made: dict[str, object] = {"lock-version": "1.0", "requires-python": usual.get("python", "")}
    made["environments"] = [usual["environment"]] if "environment" in usual else []
    made["packages"] = [{"name": usual["name"], "version": usual["version"], "wheels": [wheel]}]
    refstack = {"tempest": usual["tempest"], "plugins": {usual["plugin"]: "1.0"}}
    made["tool"] = {"refstack": refstack | {"tests": int(usual["tests"]) if usual["tests"].isdecimal() else 1.5}}
    return tomli_w.dumps(made).encode()


def wheel(data: bytes) -> None:
    """The unpacker: the archive as it comes, or one of the members that the bytes describe."""
    with folder() as place:
        archive = place / "w.whl"
        archive.write_bytes(_zip(data[1:]) if data[:1] == b"z" else data)
        entry = place / "entry"
        with archive.open("rb") as stream, contextlib.suppress(WheelError):
            manifest = unpack.unpack("demo-1.0-py3-none-any.whl", "0" * 64, stream, entry)
            written = {str(path.relative_to(entry)) for path in entry.rglob("*") if path.is_file()}
            if written != set(manifest.files):
                raise Finding("the manifest does not list what was written")
        if {path.name for path in place.iterdir()} - {"w.whl", "entry"}:
            raise Finding("a wheel wrote outside its folder")
        if any(path.is_symlink() for path in entry.rglob("*")):
            raise Finding("a wheel made a link")


def _zip(recipe: bytes) -> bytes:
    """Make a wheel: members are parted by 0x1e, name and content by 0x1f; metadata that is missing is added."""
    info = "demo-1.0.dist-info"
    members = [part.partition(b"\x1f")[::2] for part in recipe.split(b"\x1e")]
    content = [(name.decode("latin-1")[:200] or "x", text) for name, text in members]
    usual = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: f\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    content += [(name, text) for name, text in usual.items() if name not in dict(content)]
    if f"{info}/RECORD" not in dict(content):
        content.append((f"{info}/RECORD", "".join(f"{name},,\n" for name, _ in content).encode("utf-8", "replace")))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in content:
            made.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def subunit(data: bytes) -> None:
    """Both readers of subunit: the server's, and the one that masks the stream while it is written."""
    stream = _packets(data[1:]) if data[:1] == b"p" else data
    kept: list[bytes] = []
    splitter = ResultStream(kept.append, lambda packet: None, lambda text: None)
    for at in range(0, len(stream), 97):
        splitter.feed(stream[at : at + 97])
    splitter.close()
    with folder() as place:
        (place / "s").write_bytes(stream)
        with contextlib.suppress(ResultError):
            parsed = results.parse(place / "s", place / "rows")
            if len(list(parsed.tests)) != parsed.counts.total:
                raise Finding("the rows are not as many as were counted")


def _packets(recipe: bytes) -> bytes:
    """Make packets with the right length and checksum: parted by 0x1e, two bytes of flags, then the content."""
    out = bytearray()
    for part in recipe.split(b"\x1e"):
        flags, content = part[:2].ljust(2, b"\0"), part[2:16000]
        size = len(content) + 8
        length = bytes([size]) if size <= 0x3F else struct.pack(">H", 0x4000 | size + 1)
        packet = b"\xb3" + flags + length + content
        out += packet + struct.pack(">I", zlib.crc32(packet))
    return bytes(out)


def refstack_cfg_(data: bytes) -> None:
    """RefStack's settings file: parsed, never executed, and read into the server's settings."""
    with contextlib.suppress(ConfigError):
        server_config.from_mapping(refstack_cfg.parse(data, "refstack.cfg", server_config.NAMES), "refstack.cfg")


def http(data: bytes) -> None:
    """The server's HTTP side: never 500, no header with a line break, no password in an answer to anyone else."""
    from tests.fuzz import site

    site.ask(data)


TARGETS: dict[str, Target] = {
    "payload": payload,
    "envelope": envelope,
    "pylock": pylock,
    "wheel": wheel,
    "subunit": subunit,
    "refstack_cfg": refstack_cfg_,
    "http": http,
}


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder for the length of the block."""
    made = Path(tempfile.mkdtemp(prefix="refstack-fuzz-", dir=SHM))
    try:
        yield made
    finally:
        shutil.rmtree(made)
