"""Provenance in a repository: signed with its key, checked against the file, and gone with its package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from refstack_worker.builder import verify
from refstack_worker.builder.packages import provenance
from refstack_worker.builder.repository import apt, attestations, yum
from refstack_worker.builder.repository.publish import Publisher
from refstack_worker.builder.repository.repository import KEYRING, Record, Repository
from refstack_worker.builder.repository.signing import OpenPgpKeyring
from refstack_worker.errors import BuildError
from tests.support.gpg import GnuPG, gnupg, makes_keys
from tests.support.tiny_packages import deb

pytestmark = pytest.mark.skipif(
    not (makes_keys and shutil.which("gpgv") and shutil.which("dpkg-deb")), reason="needs gpg, gpgv and dpkg"
)
NAME = "refstack-tempest-43.0.0"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GnuPG]:
    # a socket's path must be short
    with gnupg(tmp_path_factory.mktemp("g")) as made:
        yield made


@pytest.fixture(scope="module")
def key(home: GnuPG) -> str:
    return home.new_key("repository")


@pytest.fixture
def publisher(tmp_path: Path, home: GnuPG, key: str, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """Publishes without indices, whose programs few machines have; the signatures are real."""
    for module, names in ((apt, ("make_indices", "place_indices")), (yum, ("make_metadata", "place_metadata"))):
        for name in names:
            monkeypatch.setattr(module, name, lambda *_: None)
    return Publisher(Repository(tmp_path / "repository"), OpenPgpKeyring(home.home), key)


def built(folder: Path, name: str = NAME, found: list[dict[str, str]] | None = None) -> Path:
    """A package with its statement beside it."""
    folder.mkdir(exist_ok=True)
    file = deb(folder, name, "43.0.0-1")
    annotations = {"checked": False} if found is None else {"checked": True, "found": found}
    statement = {
        "_type": provenance.STATEMENT_TYPE,
        "subject": [{"name": file.name, "digest": {"sha256": provenance.digest_of(file)}}],
        "predicateType": provenance.PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {},
            "runDetails": {
                "builder": {"id": "https://ci.example"},
                "byproducts": [{"name": "vulnerabilities", "annotations": annotations}],
            },
        },
    }
    file.with_name(file.name + provenance.SUFFIX).write_text(json.dumps(statement))
    return file


def envelope_of(publisher: Publisher) -> Path:
    (place,) = attestations.folder(publisher.repository).iterdir()
    return place


def test_what_is_published_can_be_verified(publisher: Publisher, tmp_path: Path, key: str) -> None:
    file = built(tmp_path / "out")
    # as the shell expands out/*
    publisher.publish(sorted(path for path in (tmp_path / "out").iterdir() if path.is_file()))
    (found,) = verify.verify_provenance(publisher.repository, ["43.0.0"])
    assert (found.file, found.builder, found.keys) == (file.name, "https://ci.example", (key,))
    assert found.vulnerabilities == "not checked"


@pytest.mark.parametrize(("ids", "shown"), [([], "none known"), (["PYSEC-2", "GHSA-1"], "GHSA-1, PYSEC-2")])
def test_it_says_what_was_known_of_vulnerabilities(
    publisher: Publisher, tmp_path: Path, ids: list[str], shown: str
) -> None:
    publisher.publish([built(tmp_path / "out", found=[{"id": one} for one in ids])])
    (found,) = verify.verify_provenance(publisher.repository, ["43.0.0"])
    assert found.vulnerabilities == shown


def test_a_package_that_was_changed_is_found(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish([built(tmp_path / "out")])
    (package,) = publisher.repository.pool.rglob("*.deb")
    other = deb(tmp_path, NAME, "43.0.0-1", files={"evil": b"evil"})
    package.write_bytes(other.read_bytes())
    with pytest.raises(BuildError, match="differs from the file that its provenance describes"):
        verify.verify_provenance(publisher.repository, ["43.0.0"])


def test_a_changed_statement_is_found(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish([built(tmp_path / "out")])
    place = envelope_of(publisher)
    payload, signatures = provenance.opened(place.read_bytes(), "x")
    place.write_bytes(provenance.envelope(payload.replace(b"ci.example", b"ci.evil...."), signatures))
    with pytest.raises(BuildError, match="no valid signature"):
        verify.verify_provenance(publisher.repository, ["43.0.0"])


def test_another_key_is_not_believed(publisher: Publisher, tmp_path: Path, home: GnuPG, key: str) -> None:
    """Not even when its public half lies in the repository's own keyring file."""
    publisher.publish([built(tmp_path / "out")])
    evil = home.new_key("evil")
    place, repository = envelope_of(publisher), publisher.repository
    payload, _signatures = provenance.opened(place.read_bytes(), "x")
    forged = {key: home.run("--local-user", evil, "--detach-sign", data=provenance.encoded(payload))}
    place.write_bytes(provenance.envelope(payload, forged))
    (repository.root / f"{KEYRING}.gpg").write_bytes(home.export(key, evil))
    with pytest.raises(BuildError, match="no valid signature"):
        verify.verify_provenance(repository, ["43.0.0"])
    # who names the keys to trust decides
    mine = tmp_path / "mine.gpg"
    mine.write_bytes(home.export(evil))
    assert verify.verify_provenance(repository, ["43.0.0"], mine)[0].keys == (evil,)
    mine.write_bytes(home.export(key))
    with pytest.raises(BuildError, match="no valid signature"):
        verify.verify_provenance(repository, ["43.0.0"], mine)


def test_a_package_without_provenance_is_named_and_can_get_it(publisher: Publisher, tmp_path: Path) -> None:
    file = built(tmp_path / "out")
    beside = file.with_name(file.name + provenance.SUFFIX)
    kept = beside.read_text()
    beside.unlink()
    publisher.publish([file])
    with pytest.raises(BuildError, match="has no provenance"):
        verify.verify_provenance(publisher.repository, ["43.0.0"])
    beside.write_text(kept)
    assert publisher.publish([file]) == []
    assert len(verify.verify_provenance(publisher.repository, ["43.0.0"])) == 1


def test_the_provenance_of_another_file_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    file, other = built(tmp_path / "out"), built(tmp_path / "other", "refstack-tempest-47.0.0")
    shutil.copy(f"{other}{provenance.SUFFIX}", f"{file}{provenance.SUFFIX}")
    with pytest.raises(BuildError, match="a file other than"):
        publisher.publish([file])
    assert not list(publisher.repository.pool.rglob("*.deb"))


def test_it_goes_with_its_package(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish([built(tmp_path / "out"), built(tmp_path / "out", "refstack-tempest-47.0.0")])
    publisher.withdraw([NAME])
    assert envelope_of(publisher).name.startswith("refstack-tempest-47.0.0")


def test_it_is_signed_again_when_the_key_changes(publisher: Publisher, tmp_path: Path, home: GnuPG, key: str) -> None:
    publisher.publish([built(tmp_path / "out")])
    new = home.new_key("next")
    publisher.roll_over(new, finish=False)
    assert set(verify.verify_provenance(publisher.repository, ["43.0.0"])[0].keys) == {key, new}
    publisher.roll_over(new, finish=True)
    assert verify.verify_provenance(publisher.repository, ["43.0.0"])[0].keys == (new,)


def test_an_rpm_that_is_signed_again_keeps_its_provenance(publisher: Publisher, tmp_path: Path) -> None:
    """Signing changes an RPM's bytes; what it was made of stays what it was."""
    repository = publisher.repository
    file = built(tmp_path / "out")
    published = tmp_path / file.name
    published.write_bytes(b"signed once")
    repository.root.mkdir()
    with ExitStack() as undo:
        assert attestations.add(repository, file, published, undo)
        undo.pop_all()
    published.write_bytes(b"signed again")
    attestations.renew(repository, published)
    payload, _signatures = provenance.opened(attestations.place_of(repository, published).read_bytes(), "x")
    value = json.loads(payload)
    assert provenance.subject_of(value) == (file.name, provenance.digest_of(published))
    assert value["predicate"]["runDetails"]["builder"]["id"] == "https://ci.example"


def test_an_empty_repository_is_said(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="nothing is published there"):
        verify.verify_provenance(Repository(tmp_path), ["43.0.0"])
    repository = Repository(tmp_path)
    repository.remember(Record(("A" * 40,)))
    with pytest.raises(BuildError, match=r"refstack-tempest-43\.0\.0 is not published"):
        verify.verify_provenance(repository, ["43.0.0"])
