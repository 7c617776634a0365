from __future__ import annotations

import pytest

from refstack_worker.contract.text_files import decode_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_as_systems_save_it(encoding: str) -> None:
    assert decode_text("password: ü\r\n".encode(encoding)) == "password: ü\r\n"


def test_other_bytes() -> None:
    with pytest.raises(UnicodeDecodeError):
        decode_text(b"\xfc")
