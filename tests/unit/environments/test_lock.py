"""A lock is read exactly, or refused with what is wrong in it."""

from __future__ import annotations

import pytest

from refstack_worker.environments.lock import LOCK_NAME, locked_wheel, read_lock, set_name
from refstack_worker.errors import LockError
from tests.support.wheel_files import make_version

REFSTACK = """
openstack-releases = ["2025.2", "2025.1"]
plugins = { "Keystone_Tempest.Plugin" = "0.22.0" }
constraints = { name = "2025.1.txt", sha256 = "aa" }
tests = 1542
"""


def test_everything_is_read(tmp_path):
    path = make_version(tmp_path, "43.0.0", refstack=REFSTACK)
    lock = read_lock(path)
    assert lock.version == "43.0.0"
    assert [wheel.name for wheel in lock.wheels] == ["shared-one", "shared-two", "tempest"]
    assert lock.compatibility.releases == ("2025.2", "2025.1")
    assert lock.compatibility.plugins == (("keystone-tempest-plugin", "0.22.0"),)
    assert (lock.compatibility.constraints, lock.compatibility.tests) == ("2025.1.txt", 1542)
    assert lock.label == "43.0.0 with keystone-tempest-plugin 0.22.0"
    assert lock.size == sum(file.stat().st_size for file in (path.parent / "wheels").iterdir())


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('lock-version = "1.0"', 'lock-version = "2.0"', "lock-version 2.0"),
        ('lock-version = "1.0"', "", "lock-version"),
        ("[tool.refstack]", "[tool.other]", "tool.refstack"),
        ('path = "wheels/', 'path = "../wheels/', "leaves the lock's folder"),
        ('path = "wheels/', 'path = "/wheels/', "leaves the lock's folder"),
        ('name = "tempest"', 'name = "other"', "is not other"),
        ("-none-any.whl", "-none-/../../any.whl", "is not the name of a wheel"),
        ("-none-any.whl", "-none-a ny.whl", "is not the name of a wheel"),
        ("size = ", "size = -", "is not a size"),
        ('sha256 = "', 'sha256 = "x', "is not a SHA-256"),
        ('sha256 = "', 'md5 = "', "sha256"),
        ("wheels = [", "sdists = [", "wheels"),
        ('requires-python = "', 'requires-python = "about ', "requires-python"),
        ("environments = [", "environments = ['nonsense', ", "environments"),
        ("[[packages]]", "[[packages", ""),
        ('lock-version = "1.0"', 'lock-version = "1.0"\nx = ' + "[" * 3000, "nested too deeply"),
        ("tests = 1542", "tests = inf", "tests = inf"),
        ("tests = 1542", "tests = -4", "tests = -4"),
        ('["2025.2", "2025.1"]', '"zed"', "'zed' is not a list"),
        ('["2025.2", "2025.1"]', "[1]", "1 is not a string of one line"),
        ('tempest = "43.0.0"', 'tempest = "../../43.0.0"', "is not a version of Tempest"),
        ('"Keystone_Tempest.Plugin" =', '"a/../b" =', "'a/../b' is not the name of a distribution"),
        ('"0.22.0"', "22", "plugins: 22 is not a string of one line"),
        ('name = "2025.1.txt"', "name = []", "constraints: [] is not a string"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, says):
    path = make_version(tmp_path, "43.0.0", refstack=REFSTACK)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(LockError) as refused:
        read_lock(path)
    assert str(path) in str(refused.value)
    assert says in str(refused.value)


def test_the_name_of_a_set_is_bounded():
    words = "barbican cinder designate heat ironic keystone manila neutron octavia".split()
    nine = [(f"{word}-tempest-plugin", "1.0.0") for word in words]
    assert set_name("43.0.0", [("heat-tempest-plugin", "1"), ("tempest-horizon", "1")]) == "43.0.0-heat-horizon"
    name = set_name("47.0.1.dev5+g1a2b3c4", nine)
    assert name.startswith("47.0.1.dev5+g1a2b3c4-barbican-") and "-more-" in name and len(name) <= 60
    assert set_name("47.0.1.dev5+g1a2b3c4", nine[:-1]) != name


def test_missing_file(tmp_path):
    with pytest.raises(LockError, match="cannot be read"):
        read_lock(tmp_path / "pylock.toml")


@pytest.mark.parametrize("name", ["pylock.toml", "pylock.py311-x86_64.toml"])
def test_names_of_locks(name):
    assert LOCK_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["pylock.a.b.toml", "lock.toml", "pylock..toml", "xpylock.toml"])
def test_names_of_others(name):
    assert not LOCK_NAME.fullmatch(name)


def test_the_name_of_a_wheel_is_read_from_its_address():
    address = "https://wheels.example/torch-2.0%2Bcpu-py3-none-any.whl?token=a/b#sha256=00"
    wheel = locked_wheel("torch", "2.0+cpu", {"url": address, "hashes": {"sha256": "a" * 64}})
    assert wheel.filename == "torch-2.0+cpu-py3-none-any.whl"
