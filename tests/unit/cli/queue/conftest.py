"""A real server over HTTP with ann of Acme, bob of Bravo and an operator, and the command line in front of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.cli.queue.main import main
from tests.system.web.site import Site, serving


@dataclass(frozen=True)
class Printed:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return records; a command that failed has none."""
        assert self.status == 0, self
        return json.loads(self.out)


CallAs = Callable[..., Printed]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture
def call_as(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CallAs:
    """Call ``refstack-queue`` with a user's token, from anywhere: without ``refstack.cfg``."""

    def call(who: str, *words: str) -> Printed:
        file = tmp_path / f"token-{who}"
        file.write_text(site.tokens[who])
        file.chmod(0o600)
        status = main(["--url", site.url, "--token-file", str(file), *words])
        captured = capsys.readouterr()
        return Printed(status, captured.out, captured.err)

    return call
