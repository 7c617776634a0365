from __future__ import annotations

from pathlib import Path

from refstack_worker.worker.admission import disk_space


def test_a_disk_below_the_limit_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet" / "there"
    assert disk_space.lack_of_space([folder], 0) == ""
    problem = disk_space.lack_of_space([folder, tmp_path], 10**9)
    assert problem.startswith(f"{folder}: ")
    assert problem.endswith("limits.min_free_mb is 1000000000; free up space")


def test_a_folder_that_does_not_exist_yet_counts_for_its_parents_disk(tmp_path: Path) -> None:
    assert disk_space.existing_parent(tmp_path / "a" / "b") == tmp_path
    assert disk_space.free_mb(tmp_path / "a" / "b") == disk_space.free_mb(tmp_path)
