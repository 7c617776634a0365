"""Runs the required tests of a guideline with what vendors have, by the product and by plain Tempest, and compares."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from refstack_worker import execute_test_program
from tests.support.standalone import POWERED_STORAGE
from tests.system.accounts.outcomes import FAILED, outcomes
from tests.system.accounts.situations import Situation
from tests.system.execute_test.conftest import Caller, Cloud, Ran

LIMIT_SECONDS = 900.0


@dataclass(frozen=True)
class Compared:
    """The same tests, run by both."""

    situation: Situation
    code: int
    """How the product's call ended."""
    message: str
    """Its last."""
    messages: tuple[str, ...]
    """What it said before and while the tests ran."""
    ours: dict[str, str]
    plain: dict[str, str]

    @property
    def different(self) -> dict[str, tuple[str, str]]:
        """Test → the product's and plain Tempest's outcome, where they are not the same."""
        names = sorted({*self.ours, *self.plain})
        pairs = {name: (self.ours.get(name, "missing"), self.plain.get(name, "missing")) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def count(self, by: str) -> Counter[str]:
        """Return outcome → how many tests; ``ours`` or ``plain``."""
        return Counter(getattr(self, by).values())


def required_tests(guideline: Path) -> list[str]:
    """Return the required tests of the program for storage as RefStack lists them: ``name[id-…]``."""
    whole = json.loads(guideline.read_text("utf-8"))
    (part,) = whole["platforms"][POWERED_STORAGE]["components"]
    capabilities = whole["components"][part["name"]]["capabilities"]["required"]
    tests = {name: test for each in capabilities for name, test in whole["capabilities"][each]["tests"].items()
             if not test.get("flagged_action")}  # fmt: skip
    return [f"{name}[{test['idempotent_id']}]" for name, test in tests.items()]


def compare(
    cloud: Cloud, tempest_home: Path, folder: Path, situation: Situation, tests: Sequence[str],
    say: Callable[[str], None] = lambda text: None,
) -> Compared:  # fmt: skip
    """Run the tests twice, each in a folder of its own."""
    place = folder / situation.name
    place.mkdir()
    say(f"{situation.name}: execute_test")
    ran = _product(cloud, tempest_home, place, situation, tests)
    say(f"{situation.name}: {ran.end['message']}")
    stream = ran.workdir / "subunit"
    names = [test.partition("[")[0] for test in tests]
    ours = outcomes(stream.read_bytes(), names) if stream.is_file() else {}
    plain = outcomes(_plain(cloud, tempest_home, place / "plain", situation, names), names)
    say(f"{situation.name}: plain Tempest: {dict(Counter(plain.values()))}")
    return Compared(situation, ran.code, ran.end["message"], tuple(ran.messages), ours, plain)


def trouble(compared: Compared) -> list[str]:
    """Return what is not as it should be: a difference, a failure, an account's name that leaks nothing."""
    found = [f"{name}: {ours} here, {plain} with plain Tempest" for name, (ours, plain) in compared.different.items()]
    found += [f"{name}: failed" for name, outcome in compared.ours.items() if outcome == FAILED]
    if compared.code != 0:
        found.append(f"ended with {compared.code}: {compared.message}")
    return found


def _product(cloud: Cloud, tempest_home: Path, place: Path, situation: Situation, tests: Sequence[str]) -> Ran:
    program = place / "execute_test"
    program.write_text(execute_test_program.script())
    names = place / "tests.txt"
    names.write_text("\n".join(tests))
    caller = Caller(place, tempest_home, program)
    return caller.run(situation.conf(cloud), *situation.words(place), "--testcases", f"@{names}")


def _plain(cloud: Cloud, tempest_home: Path, place: Path, situation: Situation, names: Sequence[str]) -> bytes:
    """What a person would do: a configuration, a list, ``tempest run``, one test at a time."""
    place.mkdir()
    conf = situation.plain_conf(cloud, place)
    text = "".join(f"[{section}]\n" + "".join(f"{name} = {_text(value)}\n" for name, value in options.items())
                   for section, options in conf.items())  # fmt: skip
    (place / "tempest.conf").write_text(text)
    (place / "list").write_text("".join(f"^{name}\\b\n" for name in names))
    done = subprocess.run(
        [tempest_home / "bin" / "tempest", "run", "--config-file", "tempest.conf", "--include-list", "list",
         "--serial", "--subunit"],
        cwd=place, capture_output=True, env={"PATH": "/usr/bin:/bin", "HOME": str(place)}, timeout=LIMIT_SECONDS,
    )  # fmt: skip
    return done.stdout


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
