"""``refstack-queue verify`` needs nothing but the file and the server's public key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.cli.queue.main import main
from refstack_worker.contract import keys, signed_verdict
from tests.unit.server.domain.test_verdict_facts import DOCUMENT


@pytest.fixture
def key(tmp_path: Path) -> Path:
    keys.generate_pair("sign", tmp_path / "sign.key", tmp_path / "sign.pub")
    return tmp_path / "sign.pub"


def write(key: Path, document: dict[str, Any]) -> Path:
    file = key.with_name("run-7.verdict.json")
    file.write_text(json.dumps(signed_verdict.sign(document, keys.load_sign_private(key.with_suffix(".key")))))
    return file


def test_a_genuine_verdict_is_summed_up(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(write(key, DOCUMENT)), "--key", str(key)]) == 0
    said = capsys.readouterr().out
    assert "genuine" in said and "OpenStack Powered Storage, guideline 2020.06: not passed" in said
    assert "required tests passed: 1 of 2" in said


def test_the_runs_and_clouds_of_a_combined_verdict_are_named(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = [{"run": 6, "sha256": "ab", "cpid": "c1", "tempest_version": "47.0.0"}, {"run": 7, "sha256": "cd"}]
    assert main(["verify", str(write(key, {**DOCUMENT, "combined": listed})), "--key", str(key)]) == 0
    said = capsys.readouterr().out
    assert "run 6, Tempest 47.0.0, cloud c1" in said and "run 7, Tempest unknown, cloud unknown" in said
    without = {**DOCUMENT, "not_combined": "The result of run 6 is not included: it tested another cloud."}
    assert main(["verify", str(write(key, without)), "--key", str(key)]) == 0
    assert "run 6 is not included" in capsys.readouterr().out


def test_a_vendors_own_guideline_is_said_to_be_one(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = {**DOCUMENT, "guideline": {**DOCUMENT["guideline"], "origin": "own"}}
    assert main(["verify", str(write(key, own)), "--key", str(key)]) == 0
    assert "NOT an official one" in capsys.readouterr().out


def test_a_tampered_verdict_is_refused(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(key, DOCUMENT)
    file.write_text(file.read_text().replace('"failed", "reason": "boom"', '"passed", "reason": "boom"'))
    assert main(["verify", str(file), "--key", str(key)]) == 13
    told = capsys.readouterr()
    assert "changed after the server signed it" in told.err and "genuine" not in told.out


@pytest.mark.parametrize("content", [b"", b"\xff", b"<html>", b"[1]"])
def test_a_file_without_a_signed_verdict_is_refused(key: Path, content: bytes) -> None:
    file = key.with_name("file")
    file.write_bytes(content)
    assert main(["verify", str(file), "--key", str(key)]) in (2, 4)


def test_a_missing_file_or_key_is_named(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(key.with_name("none")), "--key", str(key)]) == 2
    assert main(["verify", str(write(key, DOCUMENT)), "--key", "/nowhere/sign.pub"]) == 3
    assert "/nowhere/sign.pub" in capsys.readouterr().err
