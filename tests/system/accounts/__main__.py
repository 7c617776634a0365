"""The required tests of a guideline with what vendors have, compared with plain Tempest. Prints a page in Markdown.

    python -m tests.system.accounts                                  everything, about ten minutes
    python -m tests.system.accounts --situation two-users
    python -m tests.system.accounts --output docs/results/accounts.md
    python -m tests.system.accounts --program platform --output docs/results/accounts-platform.md

The last one is the whole Platform program on a whole cloud with eight ordinary users; it needs root.
Needs the guideline 2020.06 (``REFSTACK_TEST_INTEROP``). The cloud and Tempest come from PyPI.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.support.standalone import GUIDELINE, INTEROP
from tests.system.accounts import people, table
from tests.system.accounts.comparison import Comparison, trouble
from tests.system.accounts.programs import PROGRAMS, STORAGE
from tests.system.accounts.situations import WHOLE_SITUATIONS, Crowd, Situation, with_whole_cloud
from tests.system.execute_test.conftest import Cloud, Options, cache_folder, software, tempest_requirements

from democloud.openstack.whole import WholeCloud  # isort: skip - found by what is imported above


def main() -> int:
    crowd = Crowd()
    parser = argparse.ArgumentParser(
        prog="python -m tests.system.accounts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [*(one.name for one in crowd.situations()), *WHOLE_SITUATIONS]
    parser.add_argument("--program", choices=PROGRAMS, default=STORAGE.word)
    parser.add_argument("--situation", action="append", choices=names, default=[], help="else all of the program")
    parser.add_argument("--output", type=Path, help="write the page here")
    given = parser.parse_args()
    if not INTEROP:
        parser.error("name the folder of the interop guidelines in REFSTACK_TEST_INTEROP")
    program = PROGRAMS[given.program]
    tests = program.required_tests(Path(INTEROP) / f"{GUIDELINE}.json")
    tempest = software.virtualenv(cache_folder(), "tempest", [tempest_requirements()], _say)
    # a cloud's sockets have short names only; and Swift's own account enters the folder
    with tempfile.TemporaryDirectory(prefix="accounts-", dir="/var/tmp") as name:  # noqa: S108
        os.chmod(name, 0o755)  # noqa: S103
        with program.cloud(Path(name) / "cloud", _options()) as cloud:
            comparison = Comparison(program, cloud, tempest, Path(name), _say)
            compared = [comparison.compare(one, tests) for one in _situations(cloud, crowd, given.situation)]
    page = table.page(program, compared, " ".join(["python -m tests.system.accounts", *_words(given)]), "47.0.0")
    print(page)
    if given.output:
        given.output.write_text(page + "\n", encoding="utf-8")
    return 1 if any(map(trouble, compared)) else 0


def _situations(cloud: Cloud | WholeCloud, crowd: Crowd, chosen: list[str]) -> list[Situation]:
    """Return what is compared; its people are in the cloud."""
    if isinstance(cloud, WholeCloud):
        found = with_whole_cloud(cloud)
    else:
        people.create(cloud, crowd.everybody())
        found = crowd.situations()
    return [one for one in found if not chosen or one.name in chosen]


def _words(given: argparse.Namespace) -> list[str]:
    """Return the options of the command, as the page shows it."""
    words = ["--program", given.program] if given.program != STORAGE.word else []
    return words + [word for name in given.situation for word in ("--situation", name)]


def _options() -> Options:
    return Options(cache_folder(), say=_say)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
