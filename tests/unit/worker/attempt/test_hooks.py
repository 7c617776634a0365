from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.errors import RunError
from refstack_worker.worker.attempt import hooks
from refstack_worker.worker.server_api.attempts import ClaimedAttempt


def hook(folder: Path, name: str, text: str, mode: int = 0o755) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(mode)


def test_hooks_run_in_order_with_the_ids_and_no_secret(tmp_path: Path, claimed: ClaimedAttempt) -> None:
    out = tmp_path / "out"
    for name in ("20-b", "10-a"):
        hook(
            tmp_path / "d",
            name,
            f"echo {name} $REFSTACK_TEST_ID:$REFSTACK_ATTEMPT $REFSTACK_ENDING >> {out}; env >> {out}.env",
        )
    hook(tmp_path / "d", "README", "exit 1", 0o644)
    hooks.run(tmp_path / "d", claimed, "me/hook", "posted")
    assert out.read_text() == "10-a 7:2 posted\n20-b 7:2 posted\n"
    given = Path(f"{out}.env").read_text()
    assert claimed.payload.secret not in given
    assert "REFSTACK_RUN=me/hook\n" in given, "a worker that starts again finds what a killed one has left"
    hooks.run(tmp_path / "absent", claimed, "me/hook")


def test_a_hook_that_fails_before_a_run_stops_it(tmp_path: Path, claimed: ClaimedAttempt) -> None:
    hook(tmp_path / "d", "a", "echo no network >&2; exit 3")
    with pytest.raises(RunError, match="no network"):
        hooks.run(tmp_path / "d", claimed, "me/hook")
    hooks.run(tmp_path / "d", claimed, "me/hook", "posted")
