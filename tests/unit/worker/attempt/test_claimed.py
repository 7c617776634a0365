from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker.contract.envelope import Opener
from refstack_worker.errors import PayloadError
from refstack_worker.worker.attempt.claimed import ClaimRecords
from refstack_worker.worker.server_api.attempts import ClaimedAttempt


def test_a_record_survives_a_crash_and_holds_no_secret(tmp_path: Path, claimed: ClaimedAttempt, opener: Opener) -> None:
    claims = ClaimRecords(tmp_path / "held")
    claims.prepare()
    claims.write(claimed)
    (path,) = (tmp_path / "held").iterdir()
    assert path.stat().st_mode & 0o077 == 0
    assert claimed.payload.secret not in path.read_text() and "hunter22" not in path.read_text()
    (tmp_path / "held" / "8-1.json").write_text("{cut off")
    assert claims.left(opener) == [claimed]
    assert len(list((tmp_path / "held").iterdir())) == 1
    claims.remove(claimed)
    assert claims.left(opener) == []


def test_a_record_that_the_keys_no_longer_open_is_removed(
    tmp_path: Path, claimed: ClaimedAttempt, opener: Opener
) -> None:
    claims = ClaimRecords(tmp_path / "held")
    claims.prepare()
    claims.write(ClaimedAttempt(claimed.payload, claimed.envelope[:-4] + b"AAAA", claimed.claim, claimed.worker, ""))
    with pytest.raises(PayloadError):
        opener.open(claimed.envelope[:-4] + b"AAAA")
    assert claims.left(opener) == []


def test_two_servers_with_the_same_test_id_have_a_record_each(
    tmp_path: Path, claimed: ClaimedAttempt, opener: Opener
) -> None:
    claims = ClaimRecords(tmp_path / "held")
    claims.prepare()
    other = replace(claimed, claim="d" * 32)
    claims.write(claimed)
    claims.write(other)
    assert {attempt.claim for attempt in claims.left(opener)} == {"c" * 32, "d" * 32}
    claims.remove(claimed)
    assert claims.left(opener) == [other]


def test_a_record_of_the_first_version_is_found_and_removed(
    tmp_path: Path, claimed: ClaimedAttempt, opener: Opener
) -> None:
    claims = ClaimRecords(tmp_path / "held")
    claims.prepare()
    claims.write(claimed)
    (path,) = claims.folder.iterdir()
    path.rename(claims.folder / "7-2.json")
    assert claims.left(opener) == [claimed]
    claims.remove(replace(claimed, claim="d" * 32))
    assert claims.left(opener) == [claimed], "it belongs to another claim"
    claims.remove(claimed)
    assert list(claims.folder.iterdir()) == []
