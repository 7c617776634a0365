"""The store holds each wheel once, whole, and finds what was changed in it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from refstack_worker import process
from refstack_worker.environments.catalogue import Catalogue, Want
from refstack_worker.environments.store.verify import Store
from refstack_worker.environments.wheels import bytecode_worker
from refstack_worker.errors import StoreError, WheelError
from refstack_worker.filesystem import sha256_of


@pytest.fixture
def store(settings):
    return Store(settings.store)


@pytest.fixture
def fill(settings, store):
    """Fill the store with the wheels of 47.0.0; returns how many were missing."""

    def fill() -> int:
        offer = Catalogue(settings).find(Want(version="47.0.0"))
        return store.ensure(offer.lock.wheels, offer.interpreter, offer.fetcher(settings))

    return fill


def left_behind(store: Store) -> list[str]:
    return [path.name for folder in (store.work, store.locks, store.incoming) for path in folder.iterdir()]


def an_entry(store: Store, of: str):
    return next(store.entries / name for name in store.names() if store.manifest(name).wheel.startswith(of))


def test_filled_once(fill, store):
    assert (fill(), fill()) == (3, 0)
    assert len(store.names()) == 3
    assert store.verify() == []
    assert left_behind(store) == []


def test_everything_is_compiled_and_read_only(fill, store):
    fill()
    entry = an_entry(store, "tempest")
    assert [path.stem.split(".")[0] for path in (entry / "site/tempest/__pycache__").iterdir()]
    for folder, folders, files in os.walk(entry / "site"):
        assert all(not os.stat(os.path.join(folder, name)).st_mode & 0o222 for name in [*folders, *files])


def test_byte_code_is_what_the_interpreter_itself_would_write(fill, store, settings, tmp_path):
    fill()
    source = an_entry(store, "tempest") / "site/tempest/main.py"
    python = Catalogue(settings).find(Want(version="47.0.0")).interpreter.path
    code = "import py_compile, sys; print(py_compile.compile(sys.argv[1], sys.argv[2], 'tempest/main.py', True))"
    # with it set, as in a package's build, py_compile chooses byte-code that is checked by a hash
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    process.run([python, "-c", code, source, tmp_path / "main.pyc"], process.Options(env=environment))
    (ours,) = (source.parent / "__pycache__").glob("main.*.pyc")
    assert ours.read_bytes() == (tmp_path / "main.pyc").read_bytes()


def test_byte_code_that_a_wheel_brings_is_replaced(tmp_path):
    path = tmp_path / "__pycache__" / "a.pyc"
    for content in (b"the wheel's", b"ours"):
        bytecode_worker.write(str(path), content, 946684800)
    assert (path.read_bytes(), path.stat().st_mtime, path.stat().st_mode & 0o777) == (b"ours", 946684800, 0o444)


def test_byte_code_is_the_same_in_another_store(fill, store, settings, tmp_path):
    fill()
    other = Store(tmp_path / "elsewhere" / "store")
    offer = Catalogue(settings).find(Want(version="47.0.0"))
    other.ensure(offer.lock.wheels, offer.interpreter, offer.fetcher(settings))
    assert {name: store.manifest(name).files for name in store.names()} == {
        name: other.manifest(name).files for name in other.names()
    }


def test_many_threads_fill_it_at_once(fill, store):
    with ThreadPoolExecutor(8) as pool:
        done = [future.result() for future in [pool.submit(fill) for _ in range(8)]]
    assert sorted(done) == [0] * 7 + [3]
    assert store.verify() == []
    assert left_behind(store) == []


def change(entry):
    path = entry / "site/tempest/main.py"
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:-1] + b"#")
    path.chmod(0o444)


def lengthen(entry):
    path = entry / "site/tempest/main.py"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"#")
    path.chmod(0o444)


def remove(entry):
    (entry / "site/tempest").chmod(0o755)
    (entry / "site/tempest/main.py").unlink()


def add(entry):
    (entry / "site").chmod(0o755)
    (entry / "site/extra.py").write_text("")


def add_link(entry):
    (entry / "site").chmod(0o755)
    (entry / "site/extra").symlink_to("/etc")


def replace_by_link(entry):
    remove(entry)
    (entry / "site/tempest/main.py").symlink_to("/etc/hostname")


def open_up(entry):
    (entry / "site/tempest/main.py").chmod(0o666)


def lose_manifest(entry):
    (entry / "entry.json").unlink()


def garble_manifest(entry):
    (entry / "entry.json").chmod(0o644)
    (entry / "entry.json").write_text('{"files": []}')


@pytest.mark.parametrize(
    "damage",
    [change, lengthen, remove, add, add_link, replace_by_link, open_up, lose_manifest, garble_manifest],
)
def test_damage_is_found_and_mended(fill, store, damage):
    fill()
    entry = an_entry(store, "tempest")
    damage(entry)
    found = store.verify()
    assert [one.entry for one in found] == [entry.name]
    store.remove(found[0])
    assert fill() == 1
    assert store.verify() == []


def test_a_flipped_byte_is_refused_by_name(fill, store, locks):
    wheel = next((locks / "47.0.0/wheels").glob("tempest-*"))
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)
    with pytest.raises(WheelError, match=wheel.name):
        fill()
    assert store.names() == set()
    assert left_behind(store) == []


def test_a_truncated_wheel_is_refused_by_name(fill, store, locks):
    wheel = next((locks / "47.0.0/wheels").glob("tempest-*"))
    os.truncate(wheel, 100)
    with pytest.raises(WheelError, match=rf"{wheel.name}: has 100 bytes"):
        fill()
    assert store.names() == set()
    assert left_behind(store) == []


def test_a_store_that_cannot_be_written(fill, settings):
    settings.store.write_text("a file is in the way")
    with pytest.raises(StoreError, match=str(settings.store)):
        fill()


def test_what_a_killed_filler_left_goes(fill, store):
    store.prepare()
    (store.work / "1-dead").mkdir()
    (store.work / "1-dead" / "half").write_text("")
    (store.locks / "stale").write_text("")
    fill()
    assert not (store.work / "1-dead").exists()


def test_hash_of_a_stream(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    with (tmp_path / "f").open("rb") as stream:
        assert sha256_of(stream) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
