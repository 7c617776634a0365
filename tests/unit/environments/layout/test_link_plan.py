"""Entries come together as pip would have put them: what is shared is merged, what is not is one link."""

from __future__ import annotations

import pytest

from refstack_worker.environments.layout.link_plan import LinkPlan, make_link_plan
from refstack_worker.environments.wheels.unpack import Manifest
from refstack_worker.errors import WheelError


def entry(name: str, *files: str, points: tuple[tuple[str, str, str, str], ...] = ()) -> Manifest:
    return Manifest(f"{name}-1.whl", "0" * 64, name, {file: ("", 0, False) for file in files}, points)


@pytest.fixture
def planned(interpreter, tmp_path):
    def plan(**entries: Manifest) -> tuple[dict[str, str], LinkPlan]:
        for name, manifest in entries.items():
            for path in manifest.files:
                if path.startswith("scripts/"):
                    target = tmp_path / name / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text("#!/bin/sh\n:\n" if path.endswith(".sh") else "#!python\nprint(1)\n")
        made = make_link_plan(entries, interpreter, tmp_path)
        site = f"lib/python{interpreter.series}/site-packages/"
        return {path.replace(site, "S/"): target for path, target in made.links}, made

    return plan


def test_a_package_of_one_wheel_is_one_link(planned):
    links, _ = planned(a=entry("a", "site/a/__init__.py", "site/a/b/c.py"))
    assert links == {"S/a": "a/site/a"}


def test_a_shared_folder_is_made_and_what_is_in_it_linked(planned, interpreter):
    links, plan = planned(
        a=entry("a", "site/shared/a/__init__.py", "site/shared/a.py"),
        b=entry("b", "site/shared/b.py", "site/shared/deep/x.py"),
        c=entry("c", "site/shared/deep/y.py"),
    )
    assert links == {
        "S/shared/a": "a/site/shared/a",
        "S/shared/a.py": "a/site/shared/a.py",
        "S/shared/b.py": "b/site/shared/b.py",
        "S/shared/deep/x.py": "b/site/shared/deep/x.py",
        "S/shared/deep/y.py": "c/site/shared/deep/y.py",
    }
    site = f"lib/python{interpreter.series}/site-packages"
    assert plan.folders.index(f"{site}/shared") < plan.folders.index(f"{site}/shared/deep")


def test_byte_code_of_single_modules_shares_a_folder(planned):
    links, _ = planned(a=entry("a", "site/a.py", "site/__pycache__/a.pyc"))
    assert links["S/__pycache__/a.pyc"] == "a/site/__pycache__/a.pyc"
    assert "S/__pycache__" not in links


def test_the_later_wheel_wins_a_file(planned):
    links, _ = planned(a=entry("a", "site/t/__init__.py"), b=entry("b", "site/t/__init__.py"))
    assert links == {"S/t/__init__.py": "b/site/t/__init__.py"}


def test_a_file_and_a_folder_of_one_name(planned):
    with pytest.raises(WheelError, match=r"b-1.whl.*t is a file"):
        planned(a=entry("a", "site/t"), b=entry("b", "site/t/x.py"))


def test_data_headers_and_scripts(planned, interpreter):
    links, plan = planned(
        a=entry("a", "data/etc/a.conf", "headers/a.h", "data/share/man/a.1", "scripts/run", "data/bin/tool"),
        c=entry("c", "scripts/run.sh"),
        b=entry("b", "data/etc/b.conf", points=(("b", "b.main", "main", "console"),)),
    )
    assert links["etc/a.conf"] == "a/data/etc/a.conf"
    assert links["share"] == "a/data/share"
    assert links["bin/tool"] == "a/data/bin/tool"
    assert links[f"include/site/python{interpreter.series}/a/a.h"] == "a/headers/a.h"
    assert links["bin/run.sh"] == "c/scripts/run.sh"
    scripts = dict(plan.scripts)
    assert scripts["run"] == "print(1)\n"
    assert "from b.main import main" in scripts["b"]


def test_an_entry_point_comes_before_a_file_of_its_name(planned):
    points = (("tool", "a.main", "main", "console"), ("other.sh", "a.main", "main", "console"))
    links, plan = planned(a=entry("a", "scripts/tool", "scripts/other.sh", "data/bin/tool", points=points))
    assert not [path for path in links if path.startswith("bin/")]
    assert all("from a.main import main" in text for _, text in plan.scripts)


def test_a_plan_survives_its_file(planned):
    _, plan = planned(a=entry("a", "site/a.py", "scripts/s", points=(("b", "b.main", "main", "console"),)))
    assert LinkPlan.from_json(plan.to_json()) == plan
