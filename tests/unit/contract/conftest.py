from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from refstack_worker.contract import keys
from refstack_worker.contract.envelope import Opener, Sealer
from refstack_worker.contract.payload import Payload, new_secret
from refstack_worker.contract.testcases import Testcases


@dataclass(frozen=True)
class Files:
    """The four key files of one server and one fleet."""

    folder: Path

    def pair(self, kind: str) -> tuple[Path, Path]:
        return self.folder / f"{kind}.key", self.folder / f"{kind}.pub"

    def renew(self, kind: str) -> str:
        return keys.generate_pair(kind, *self.pair(kind))

    @property
    def sealer(self) -> Sealer:
        return Sealer(keys.load_sign_private(self.pair("sign")[0]), keys.load_seal_public(self.pair("seal")[1]))

    @property
    def opener(self) -> Opener:
        return Opener(keys.load_seal_private(self.pair("seal")[0]), keys.load_sign_public(self.pair("sign")[1]))


def make_files(folder: Path) -> Files:
    files = Files(folder)
    files.renew("seal")
    files.renew("sign")
    return files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return make_files(tmp_path)


@pytest.fixture
def payload() -> Payload:
    return Payload(
        test_id=7,
        attempt=1,
        callback="https://refstack.example",
        conf_json={"identity": {"uri_v3": "https://cloud.example/v3", "password": "s3cr3t-of-the-cloud"}},
        secret=new_secret(),
        submitted_at="2026-11-22T15:00:00Z",
        tempest_version="47.0.0",
        plugins={"keystone-tempest-plugin": "0.22.0"},
        testcases=Testcases(names=("tempest.api.identity",), regexes=(r"test_.*\[id-",)),
        concurrency=4,
        timeout=3600,
    )
