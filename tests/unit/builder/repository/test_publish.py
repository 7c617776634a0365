"""Repositories: what is recorded, what order versions have, and that nothing changes when something fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from refstack_worker.builder.repository import apt as publish_apt
from refstack_worker.builder.repository import yum as publish_yum
from refstack_worker.builder.repository.publish import Published, Publisher, repo_file, sources_file
from refstack_worker.builder.repository.repository import Record, Repository
from refstack_worker.builder.repository.signing import Key, OpenPgpKeyring, _checked
from refstack_worker.errors import BuildError, NotFoundError, UsageError
from tests.support.gpg import gnupg, makes_keys


def test_a_record_comes_back_as_it_was_and_keeps_what_it_does_not_know(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    assert repository.record() == Record()
    record = Record(("A" * 40,), "https://packages.example", "stable", {"later": [1]})
    repository.remember(record)
    assert repository.record() == record


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"keys": 3}'])
def test_a_damaged_record_is_no_new_repository(tmp_path: Path, content: str) -> None:
    (tmp_path / "repository.json").write_text(content)
    with pytest.raises(BuildError, match="damaged"):
        Repository(tmp_path).record()


def test_a_staged_copy_changes_nothing(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "public")
    with repository.staged() as first:
        assert not first.root.exists()
    (repository.pool).mkdir(parents=True)
    (repository.pool / "a.deb").write_text("one")
    repository.remember(Record(("A" * 40,)))
    with repository.staged() as staging:
        assert staging.record() == repository.record()
        (staging.pool / "b.deb").write_text("two")
        staging.remember(Record(("B" * 40,)))
        (staging.pool / "a.deb").unlink()
    assert [path.name for path in repository.pool.iterdir()] == ["a.deb"]
    assert repository.record().keys == ("A" * 40,)
    assert [path.name for path in tmp_path.iterdir()] == ["public"]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    with repository.locked(), pytest.raises(BuildError, match="another process"), repository.locked():
        pass


def item(package: str, version: str, format_: str = "deb") -> Published:
    return Published(Path(f"{package}_{version}.{format_}"), format_, package, version)


def test_versions_have_their_order_and_tempests_count_together() -> None:
    names = ["refstack-tempest-9.0.0", "refstack-tempest-10.0.0", "refstack-tempest-47.0.0"]
    found = sorted((item(name, f"{name.rpartition('-')[2]}-1") for name in reversed(names)), key=lambda i: i.rank)
    assert [i.package for i in found] == names
    assert {i.series for i in found} == {"refstack-tempest"}
    own = ["0.1.0~dev9-1", "0.1.0~dev10-1", "0.1.0~git202611221200.abc-1", "0.1.0-1", "0.2.0~dev1-1", "0.2.0~rc1-1"]
    own += ["0.2.0-1", "0.2.0-2", "0.10.0-1"]
    assert sorted(reversed(own), key=lambda version: item("refstack-worker", version).rank) == own


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        ("refstack-worker", True),
        ("refstack-worker=0.1.0-1", True),
        ("refstack-worker=0.2.0-1", False),
        ("refstack", False),
    ],
)
def test_what_is_withdrawn_is_named(wanted: str, matches: bool) -> None:
    assert item("refstack-worker", "0.1.0-1").matches(wanted) is matches
    assert item("refstack-worker", "0:0.1.0-1", "rpm").matches(wanted) is matches


def test_sources_believe_their_own_key_only() -> None:
    record = Record(("A" * 40,), "https://packages.example/")
    apt, yum = sources_file(record), repo_file(record)
    assert "URIs: https://packages.example/apt\n" in apt
    assert "Signed-By: /usr/share/keyrings/refstack-archive-keyring.gpg\n" in apt
    assert "gpgcheck=1\nrepo_gpgcheck=1\n" in yum and "baseurl=https://packages.example/yum\n" in yum


SEC = "sec:u:{bits}:{algorithm}:0123456789ABCDEF:1700000000:{expires}::u:::scESC:::+:::23::0:"
FPR = "fpr:::::::::" + "A" * 40 + ":"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([SEC.format(bits=4096, algorithm=1, expires="").replace("scESC", "cC")], "cannot sign; add a signing subkey"),
        ([SEC.format(bits=1024, algorithm=1, expires="")], "too weak"),
        ([SEC.format(bits=4096, algorithm=17, expires="")], "too weak"),
        ([SEC.format(bits=4096, algorithm=1, expires="1700000001")], "expired"),
        ([SEC.format(bits=4096, algorithm=1, expires="").replace("sec:u", "sec:r")], "revoked"),
        ([], "0 keys match"),
        ([SEC.format(bits=4096, algorithm=1, expires="")] * 2, "2 keys match"),
    ],
)
def test_a_key_that_must_not_sign(lines: list[str], message: str) -> None:
    with pytest.raises(BuildError, match=message):
        _checked("X", [words.split(":") for line in lines for words in (line, FPR)])


@pytest.mark.parametrize(("bits", "algorithm"), [(4096, 1), (3072, 1), (255, 22)])
def test_a_key_that_may(bits: int, algorithm: int) -> None:
    line = SEC.format(bits=bits, algorithm=algorithm, expires="")
    assert _checked("X", [line.split(":"), FPR.split(":")]).fingerprint == "A" * 40


SUB = "ssb:{validity}:4096:1:0123456789ABCDEF:{created}:{expires}:::::s:::{here}:::23:"
OFFLINE = SEC.format(bits=4096, algorithm=1, expires="").replace("scESC", "cSC").replace(":+:", ":#:")
SIGNING_OFFLINE = OFFLINE.replace("cSC", "scSC")


def chosen(wanted: str, primary: str, *subkeys: str) -> Key:
    lines = [primary, FPR]
    for number, line in enumerate(subkeys):
        lines += [line, "fpr:::::::::" + str(number) * 40 + ":"]
    return _checked(wanted, [line.split(":") for line in lines])


def sub(created: int = 1700000000, here: str = "+", expires: str = "", validity: str = "u") -> str:
    return SUB.format(created=created, here=here, expires=expires, validity=validity)


def test_a_subkey_signs_where_the_primary_key_is_offline_or_does_not_sign() -> None:
    for primary in (OFFLINE, SIGNING_OFFLINE, OFFLINE.replace(":#:", ":+:")):
        key = chosen("A" * 40, primary, sub(), sub(created=1800000000), sub(created=1900000000, here="#"))
        assert (key.fingerprint, key.user_id) == ("A" * 40, "1" * 40 + "!")


def test_the_subkey_that_is_named_signs() -> None:
    key = chosen("0" * 40 + "!", SEC.format(bits=4096, algorithm=1, expires=""), sub(), sub(created=1800000000))
    assert (key.fingerprint, key.signer) == ("A" * 40, "0" * 40)


def test_a_primary_key_that_can_sign_signs() -> None:
    assert chosen("A" * 40, SEC.format(bits=4096, algorithm=1, expires=""), sub()).user_id == "A" * 40 + "!"


@pytest.mark.parametrize(
    ("primary", "subkeys", "says"),
    [
        (SIGNING_OFFLINE, (), "neither its secret key nor"),
        (OFFLINE, (sub(here="#"),), "neither its secret key nor"),
        (OFFLINE, (sub(expires="1700000001"),), "signing subkey expired"),
        (OFFLINE, (sub(validity="r"),), "signing subkey expired or was revoked"),
        (OFFLINE, (), "cannot sign; add a signing subkey"),
    ],
)
def test_a_key_without_a_subkey_that_can_sign(primary: str, subkeys: tuple[str, ...], says: str) -> None:
    with pytest.raises(BuildError, match=says):
        chosen("A" * 40, primary, *subkeys)


@pytest.mark.skipif(not makes_keys, reason="gpg and gpg-agent are not installed")
def test_a_real_subkey_signs_without_its_primary_key(tmp_path: Path) -> None:
    with gnupg(tmp_path / "offline") as offline, gnupg(tmp_path / "here") as here:
        primary = offline.new_key("packages")
        subkey = offline.add_signing_subkey(primary)
        here.run("--import", data=offline.run("--export-secret-subkeys", primary))
        keyring = OpenPgpKeyring(here.home)
        for wanted in (primary, subkey, f"{subkey}!", subkey[-16:]):
            key = keyring.signing_key(wanted)
            assert (key.fingerprint, key.signer) == (primary, subkey)
        (tmp_path / "Release").write_text("words\n")
        keyring.clear_sign([key], tmp_path / "Release", tmp_path / "InRelease")
        assert subkey in here.run("--status-fd", "1", "--verify", tmp_path / "InRelease").decode()


class NoKeys(OpenPgpKeyring):
    """A keyring that signs nothing really: these tests are about what happens to files."""

    def signing_key(self, wanted: str) -> Key:
        if not wanted:
            return super().signing_key(wanted)
        return Key(wanted, "", 0)


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    def fail(*_: object) -> Path:
        raise BuildError("the agent has gone")

    monkeypatch.setattr(publish_apt, "make_indices", fail)
    monkeypatch.setattr(publish_apt, "inspect", lambda path: publish_apt.DebianFile(path, "some", "1-1"))
    return Publisher(Repository(tmp_path / "repository"), NoKeys(), "KEY")


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    yield
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before


def test_a_signature_that_fails_leaves_the_pool_as_it_was(publisher: Publisher, tmp_path: Path) -> None:
    package = tmp_path / "some_1-1_all.deb"
    package.write_bytes(b"new")
    with unchanged(publisher.repository.root), pytest.raises(BuildError, match="agent"):
        publisher.publish([package])


def test_a_withdrawal_that_fails_brings_the_file_back(publisher: Publisher) -> None:
    there = publisher.repository.pool / "s" / "some" / "some_1-1_all.deb"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"old")
    with unchanged(publisher.repository.root), pytest.raises(BuildError, match="agent"):
        publisher.withdraw(["some"])
    with pytest.raises(NotFoundError):
        publisher.withdraw(["other"])


def test_the_same_version_with_other_bytes_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    there = publisher.repository.pool / "s" / "some" / "some_1-1_all.deb"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"old")
    package = tmp_path / "some_1-1_all.deb"
    package.write_bytes(b"new")
    with unchanged(publisher.repository.root), pytest.raises(BuildError, match="different content"):
        publisher.publish([package])


def test_without_a_key_not_even_the_folder_is_made(tmp_path: Path) -> None:
    publisher = Publisher(Repository(tmp_path / "new"), NoKeys())
    with pytest.raises(BuildError, match="nothing is published unsigned"):
        publisher.publish([tmp_path / "x.deb"])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["notes.txt", "missing.deb"])
def test_what_is_no_package_is_refused(publisher: Publisher, tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with unchanged(publisher.repository.root), pytest.raises(BuildError, match=name):
        publisher.publish([tmp_path / name])


def test_another_key_than_the_repositorys_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    publisher.repository.root.mkdir()
    publisher.repository.remember(Record(("OTHER",)))
    with unchanged(publisher.repository.root), pytest.raises(BuildError, match="rollover"):
        publisher.publish([tmp_path / "x.deb"])


def test_what_would_be_pruned(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [item("refstack-tempest-33.0.0", "33.0.0-1"), item("refstack-tempest-43.0.0", "43.0.0-1"),
             item("refstack-tempest-43.0.0", "43.0.0-10"), item("refstack-tempest-43.0.0", "43.0.0-9"),
             item("refstack-tempest-43.0.0-heat", "43.0.0-1"), item("refstack-worker", "0.1.0-1"),
             item("refstack-worker", "0.2.0-1", "rpm")]  # fmt: skip
    monkeypatch.setattr("refstack_worker.builder.repository.publish.listing", lambda _: items)
    names = {path.name for path in publisher.surplus(1)}
    assert names == {
        f"refstack-tempest-{text}.deb" for text in ("33.0.0_33.0.0-1", "43.0.0_43.0.0-1", "43.0.0_43.0.0-9")
    }
    assert publisher.surplus(3) == []


def test_keeping_none_makes_no_sense(publisher: Publisher) -> None:
    with pytest.raises(UsageError):
        publisher.prune(0)


def test_by_hash_keeps_the_last_generations(tmp_path: Path) -> None:
    folder = tmp_path / "binary-amd64"
    for number in range(10):
        index = tmp_path / "Packages"
        index.write_text(str(number))
        publish_apt._keep_by_hash(index, folder)
    kept = {path.read_text() for path in (folder / "by-hash" / "SHA512").iterdir()}
    assert len(kept) == publish_apt.BY_HASH_KEPT * 3 and "9" in kept


def test_old_metadata_goes_after_a_while(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    for number in range(6):
        made = tmp_path / str(number)
        made.mkdir()
        for name in ("repomd.xml", "repomd.xml.asc", f"{number}-primary.xml.gz", f"{number}-other.xml.gz"):
            (made / name).write_text(str(number))
        publish_yum.place_metadata(made, repository)
    names = {path.name for path in (repository.yum / "repodata").iterdir()}
    assert "5-primary.xml.gz" in names and "0-primary.xml.gz" not in names and "repomd.xml.asc" in names
