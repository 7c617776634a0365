"""The figures of the house, counted in a small package that breaks each rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house import figures
from tests.house.figures import Module


@pytest.fixture
def modules(tmp_path: Path) -> list[Module]:
    package = tmp_path / "refstack_worker"
    (package / "web").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "web" / "__init__.py").write_text('"""Not empty."""\n')
    for name in ("api", "api_runs", "api_users", "web_a", "web_b"):
        (package / f"{name}.py").write_text('"""What this module is for, in a whole sentence."""\n')
    lines = "\n".join(f"    x{number} = {number}" for number in range(60))
    (package / "long.py").write_text(f'def long():\n    """Run."""\n{lines}\n' + "# line\n" * 300)
    (package / "web" / "named.py").write_text(
        "class Run:\n    pass\n\n\nMOST_RUNS = 3\nprint(MOST_RUNS)\nMAX_TESTS = 4\n"
    )
    (package / "web" / "other.py").write_text("class Run:\n    pass\n")
    return figures.read_modules(tmp_path)


def test_empty_init_files_are_no_modules(modules: list[Module]) -> None:
    counts = {folder: len(inside) for folder, inside in figures.by_folder(modules).items()}
    assert counts == {"refstack_worker": 6, "refstack_worker/web": 3}


def test_crowded_folders(modules: list[Module]) -> None:
    crowd = [Module(f"p/m{number}.py", "", modules[0].tree) for number in range(16)]
    assert [str(one) for one in figures.crowded_folders([*modules, *crowd])] == ["p: 16 modules"]


def test_three_siblings_with_a_common_first_word(modules: list[Module]) -> None:
    (found,) = figures.sibling_groups(modules)
    assert str(found) == "refstack_worker: api: api, api_runs, api_users"


def test_a_class_name_that_occurs_twice(modules: list[Module]) -> None:
    (found,) = figures.repeated_classes(modules)
    assert str(found) == "refstack_worker/web/named.py:1: Run: also refstack_worker/web/other.py:1"


def test_what_is_too_long(modules: list[Module]) -> None:
    assert [str(one) for one in figures.long_modules(modules)] == ["refstack_worker/long.py: 362 lines"]
    assert [str(one) for one in figures.long_functions(modules)] == ["refstack_worker/long.py:1: long: 62 lines"]


def test_docstrings_that_say_nothing(modules: list[Module]) -> None:
    assert [one.place for one in figures.thin_docstrings(modules)] == [
        "refstack_worker/long.py:2",
        "refstack_worker/web/__init__.py:1",
    ]


def test_a_limit_that_does_not_begin_with_max_counts_once_in_a_module(modules: list[Module]) -> None:
    assert [str(one) for one in figures.odd_limits(modules)] == ["refstack_worker/web/named.py:5: MOST_RUNS"]
