"""Key files are checked before they are installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from refstack_install.answers import answers as answering
from refstack_install.answers import key_files
from refstack_install.errors import AnswersError
from refstack_install.system import System

from tests.support.node_machine import FLEET, SERVERS

FLEET_FILE, SERVERS_FILE = key_files.KEY_FILES


def content(source: str, environ: dict[str, str] | None = None) -> bytes:
    answers = answering.combine([{"keys.fleet": source}], {})
    return key_files.content(FLEET_FILE, System(environ=environ or {}), answers)


def test_comments_and_blank_lines_are_dropped(tmp_path: Path) -> None:
    file = tmp_path / "fleet.key"
    file.write_text(f"# the fleet\n\n  {FLEET}\n")
    assert content(str(file)) == f"{FLEET}\n".encode()


def test_a_key_may_come_from_a_variable() -> None:
    assert content("env:FLEET", {"FLEET": FLEET}) == f"{FLEET}\n".encode()
    with pytest.raises(AnswersError, match="the variable is not set"):
        content("env:FLEET")


@pytest.mark.parametrize("text", ["", SERVERS, "refstack-seal-private QUFB", "refstack-seal-private ü", FLEET + " x"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "fleet.key"
    file.write_text(text)
    with pytest.raises(AnswersError, match=r"is not a key file.*refstack-queue keys"):
        content(str(file))


def test_installed_keys_are_answers(tmp_path: Path) -> None:
    system = System(tmp_path)
    assert key_files.installed(system) == {}
    place = system.path(SERVERS_FILE.path)
    place.parent.mkdir(parents=True)
    place.write_text(SERVERS)
    assert key_files.installed(system) == {"keys.servers": str(place)}
