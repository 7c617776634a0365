"""Runs the required tests of a guideline with what vendors have, by the product and by plain Tempest, and compares."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refstack_worker import execute_test_program
from tests.support.census import added, census
from tests.system.accounts.outcomes import FAILED, outcomes
from tests.system.accounts.programs import Program
from tests.system.accounts.situations import Situation
from tests.system.execute_test.conftest import Caller, Cloud, Ran

from democloud.openstack.whole import WholeCloud  # isort: skip - found by what is imported above


@dataclass(frozen=True)
class Compared:
    """The same tests, run by both."""

    situation: Situation
    code: int
    """How the product's call ended."""
    message: str
    """Its last."""
    messages: tuple[str, ...]
    """Its messages before and while the tests ran."""
    ours: dict[str, str]
    plain: dict[str, str]
    left: tuple[str, ...] = ()
    """What the product's run left in the cloud."""
    seconds: tuple[int, int] = (0, 0)
    """How long the product's run took, and that of plain Tempest."""

    @property
    def different(self) -> dict[str, tuple[str, str]]:
        """Test → the product's and plain Tempest's outcome, where they are not the same."""
        names = sorted({*self.ours, *self.plain})
        pairs = {name: (self.ours.get(name, "missing"), self.plain.get(name, "missing")) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def count(self, by: str) -> Counter[str]:
        """Return outcome → how many tests; ``ours`` or ``plain``."""
        return Counter(getattr(self, by).values())


@dataclass(frozen=True)
class Comparison:
    """A cloud, the tests, and a folder in which each call has its own."""

    program: Program
    cloud: Cloud | WholeCloud
    tempest_home: Path
    folder: Path
    say: Callable[[str], None] = lambda text: None

    def compare(self, situation: Situation, tests: Sequence[str]) -> Compared:
        """Run the tests twice: by the product and by plain Tempest."""
        place = self.folder / situation.name
        place.mkdir()
        self.say(f"{situation.name}: execute_test")
        before, began = census(self.cloud), time.monotonic()
        ran = self._product(place, situation, tests)
        took = time.monotonic() - began
        left = added(before, census(self.cloud))
        self.say(f"{situation.name}: {ran.end['message']}")
        stream = ran.workdir / "subunit"
        names = [test.partition("[")[0] for test in tests]
        ours = outcomes(stream.read_bytes(), names) if stream.is_file() else {}
        began = time.monotonic()
        plain = outcomes(self._plain(place / "plain", situation, names), names)
        seconds = round(took), round(time.monotonic() - began)
        self.say(f"{situation.name}: plain Tempest: {dict(Counter(plain.values()))}")
        return Compared(situation, ran.code, ran.end["message"], tuple(ran.messages), ours, plain,
                        of_projects_that_stay(left), seconds)  # fmt: skip

    def _product(self, place: Path, situation: Situation, tests: Sequence[str]) -> Ran:
        program = place / "execute_test"
        program.write_text(execute_test_program.script())
        names = place / "tests.txt"
        names.write_text("\n".join(tests))
        caller = Caller(place, self.tempest_home, program, limit=self.program.limit)
        return caller.run(situation.conf(self.cloud), *situation.words(place), "--testcases", f"@{names}")

    def _plain(self, place: Path, situation: Situation, names: Sequence[str]) -> bytes:
        """What a person would do: a configuration, a list, ``tempest run``; a long program in two processes."""
        place.mkdir()
        conf = situation.plain_conf(self.cloud, place)
        text = "".join(f"[{section}]\n" + "".join(f"{name} = {_text(value)}\n" for name, value in options.items())
                       for section, options in conf.items())  # fmt: skip
        (place / "tempest.conf").write_text(text)
        (place / "list").write_text("".join(f"^{name}\\b\n" for name in names))
        how = ["--concurrency", "2"] if self.program.is_whole else ["--serial"]
        done = subprocess.run(
            [self.tempest_home / "bin" / "tempest", "run", "--config-file", "tempest.conf", "--include-list", "list",
             *how, "--subunit"], cwd=place, capture_output=True,
            env={"PATH": "/usr/bin:/bin", "HOME": str(place)}, timeout=3 * self.program.limit,
        )  # fmt: skip
        return done.stdout


def of_projects_that_stay(left: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Leave out the group that Neutron makes for each project, and keeps."""
    return tuple(f"{kind}: {name}" for kind, names in left.items() for name in names
                 if not (kind == "security_groups" and name.startswith("default ")))  # fmt: skip


def trouble(compared: Compared) -> list[str]:
    """Return what is not as it should be: a difference, a failure, an account's name that leaks nothing."""
    found = [f"{name}: {ours} here, {plain} with plain Tempest" for name, (ours, plain) in compared.different.items()]
    found += [f"{name}: failed" for name, outcome in compared.ours.items() if outcome == FAILED]
    found += [f"left in the cloud: {what}" for what in compared.left]
    if compared.code != 0:
        found.append(f"ended with {compared.code}: {compared.message}")
    return found


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
