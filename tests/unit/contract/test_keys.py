from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.contract import keys
from refstack_worker.errors import KeyFileError


def test_the_newest_key_stands_first_and_the_old_ones_stay(tmp_path: Path) -> None:
    private, public = tmp_path / "k" / "seal.key", tmp_path / "k" / "seal.pub"
    ids = [keys.generate_pair("seal", private, public) for _ in range(3)]
    assert [key for key, _ in keys.load_seal_private(private).keys] == ids[::-1]
    assert [key for key, _ in keys.load_seal_public(public).keys] == ids[::-1]
    assert keys.load_seal_private(private).newest[0] == ids[-1]
    assert keys.load_seal_private(private).get("no such key") is None


def test_private_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    private, public = tmp_path / "sign.key", tmp_path / "sign.pub"
    keys.generate_pair("sign", private, public)
    assert private.stat().st_mode & 0o777 == 0o600
    private.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        keys.load_sign_private(private)


def test_comments_and_blank_lines_are_left_alone(tmp_path: Path) -> None:
    private, public = tmp_path / "sign.key", tmp_path / "sign.pub"
    made = keys.generate_pair("sign", private, public)
    public.write_text("# the server of spring\n\n" + public.read_text())
    assert keys.load_sign_public(public).newest[0] == made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "contains no key"),
        ("# nothing\n", "contains no key"),
        ("refstack-seal-public AAAA\n", "a line 'refstack-sign-public <base64>'"),
        ("refstack-sign-public\n", "not 32 bytes"),
        ("refstack-sign-public !!!\n", "not 32 bytes"),
        ("refstack-sign-public AAAA\n", "not 32 bytes"),
        ("refstack-sign-public ü\n", "not ASCII"),
    ],
)
def test_what_is_no_key_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "sign.pub"
    path.write_text(text)
    with pytest.raises(KeyFileError, match=said) as caught:
        keys.load_sign_public(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="refstack-queue keys"):
        keys.load_seal_private(tmp_path / "missing")


def test_a_credential_of_systemd_may_be_its_groups_but_not_everybodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.generate_pair("seal", tmp_path / "fleet.key", tmp_path / "fleet.pub")
    (tmp_path / "fleet.key").chmod(0o440)
    with pytest.raises(KeyFileError, match="others can read it"):
        keys.load_seal_private(tmp_path / "fleet.key")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    keys.load_seal_private(tmp_path / "fleet.key")
    (tmp_path / "fleet.key").chmod(0o444)
    with pytest.raises(KeyFileError, match="others can read it"):
        keys.load_seal_private(tmp_path / "fleet.key")


def test_a_key_file_without_end_is_refused() -> None:
    with pytest.raises(KeyFileError, match="/dev/zero: larger than"):
        keys.load_sign_public(Path("/dev/zero"))
