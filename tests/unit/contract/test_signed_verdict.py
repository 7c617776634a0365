"""A signed verdict is checked without the server, and any change shows."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refstack_worker.contract import keys, signed_verdict
from refstack_worker.errors import PayloadError, SignatureError, UsageError

DOCUMENT: dict[str, Any] = {
    "format": signed_verdict.FORMAT,
    "run": {"id": 7, "attempt": 1, "kind": "run"},
    "guideline": {"name": "2020.06", "origin": "official", "sha256": "ab" * 32},
    "verdict": {"program": "OpenStack Powered Storage", "passed": False, "capabilities": {"required": [{"tests": []}]}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keys")
    for name in ("sign", "other"):
        keys.generate_pair("sign", made / f"{name}.key", made / f"{name}.pub")
    return made


@pytest.fixture(scope="module")
def signed(folder: Path) -> dict[str, Any]:
    return signed_verdict.sign(DOCUMENT, keys.load_sign_private(folder / "sign.key"))


def verified(folder: Path, signed: Any, key: str = "sign") -> dict[str, Any]:
    return signed_verdict.verify(signed, keys.load_sign_public(folder / f"{key}.pub"))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [leaf for key, one in items for leaf in leaves(one, (*path, key))] or [path]


def test_a_genuine_one_gives_its_document(folder: Path, signed: dict[str, Any]) -> None:
    assert verified(folder, json.loads(json.dumps(signed, indent=3))) == DOCUMENT


@pytest.mark.parametrize("path", leaves(DOCUMENT))
def test_a_change_anywhere_is_found(folder: Path, signed: dict[str, Any], path: tuple[Any, ...]) -> None:
    changed = copy.deepcopy(signed)
    place = changed["document"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = "changed" if place[path[-1]] != "changed" else 1
    with pytest.raises(SignatureError):
        verified(folder, changed)


def test_something_added_is_found(folder: Path, signed: dict[str, Any]) -> None:
    changed = copy.deepcopy(signed)
    changed["document"]["more"] = 1
    with pytest.raises(SignatureError, match="changed after the server signed it"):
        verified(folder, changed)


def test_another_key_is_named(folder: Path, signed: dict[str, Any]) -> None:
    with pytest.raises(SignatureError, match="signed by key"):
        verified(folder, signed, "other")


@pytest.mark.parametrize(
    "signature", [None, {}, {"algorithm": "none"}, {"algorithm": "ed25519", "key": "x"}, {"algorithm": "ed25519"}]
)
def test_a_signature_of_another_kind_is_no_signature(folder: Path, signed: dict[str, Any], signature: Any) -> None:
    with pytest.raises(SignatureError):
        verified(folder, {**signed, "signature": signature})


@pytest.mark.parametrize("value", ["", "?", "AAAA", None])
def test_a_damaged_signature_is_found(folder: Path, signed: dict[str, Any], value: Any) -> None:
    with pytest.raises(SignatureError):
        verified(folder, {**signed, "signature": {**signed["signature"], "value": value}})


def test_a_page_carries_one(folder: Path, signed: dict[str, Any]) -> None:
    script = f'<script type="application/json" id="{signed_verdict.HTML_ID}">{json.dumps(signed)}</script>'
    assert verified(folder, signed_verdict.read(f"<html>{script}</html>", "page")) == DOCUMENT
    with pytest.raises(UsageError, match="several"):
        signed_verdict.read(script * 2, "page")


@pytest.mark.parametrize("text", ["", "<html></html>", "{}", "[]", '{"document": {}}'])
def test_what_holds_no_signed_verdict_is_refused(text: str) -> None:
    with pytest.raises((UsageError, PayloadError)):
        signed_verdict.read(text, "file")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(blacklist_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.text(st.characters(blacklist_categories=("Cs",)), max_size=5), VALUES, max_size=4))
def test_any_document_survives_being_written_and_read(folder: Path, more: dict[str, Any]) -> None:
    document = {**DOCUMENT, "more": more}
    try:
        signed = signed_verdict.sign(document, keys.load_sign_private(folder / "sign.key"))
    except UnicodeEncodeError:
        return
    assert verified(folder, json.loads(json.dumps(signed))) == document
