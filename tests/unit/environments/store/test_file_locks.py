from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.environments.store.file_locks import sweep, work_folder


def test_a_work_folder_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chmod, swept = Path.chmod, []

    def after_a_sweep(path: Path, mode: int) -> None:
        if not swept:
            swept.extend(sweep(tmp_path))
        chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", after_a_sweep)
    with work_folder(tmp_path) as folder:
        assert folder.is_dir() and sweep(tmp_path) == []
    assert len(swept) == 1 and swept[0] != folder
    assert list(tmp_path.iterdir()) == []
