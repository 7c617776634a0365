"""The required tests of a guideline with what vendors have, compared with plain Tempest. Prints a page in Markdown.

    python -m tests.system.accounts                                  everything, about ten minutes
    python -m tests.system.accounts --situation two-users
    python -m tests.system.accounts --output docs/results/accounts.md

Needs the guideline 2020.06 (``REFSTACK_TEST_INTEROP``). Keystone, Swift and Tempest come from PyPI.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.support.standalone import GUIDELINE, INTEROP
from tests.system.accounts import people, table
from tests.system.accounts.comparison import compare, required_tests, trouble
from tests.system.accounts.situations import Crowd
from tests.system.execute_test.conftest import Cloud, Options, cache_folder, software, tempest_requirements


def main() -> int:
    crowd = Crowd()
    parser = argparse.ArgumentParser(
        prog="python -m tests.system.accounts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [one.name for one in crowd.situations()]
    parser.add_argument("--situation", action="append", choices=names, default=[])
    parser.add_argument("--output", type=Path, help="write the page here")
    given = parser.parse_args()
    if not INTEROP:
        parser.error("name the folder of the interop guidelines in REFSTACK_TEST_INTEROP")
    tests = required_tests(Path(INTEROP) / f"{GUIDELINE}.json")
    tempest = software.virtualenv(cache_folder(), "tempest", [tempest_requirements()], _say)
    chosen = [one for one in crowd.situations() if not given.situation or one.name in given.situation]
    with tempfile.TemporaryDirectory(prefix="accounts-") as name, Cloud(Path(name) / "cloud", _options()) as cloud:
        os.chmod(name, 0o755)  # noqa: S103 - Swift's own account enters it
        people.create(cloud, crowd.everybody())
        compared = [compare(cloud, tempest, Path(name), one, tests, _say) for one in chosen]
    words = [word for name in given.situation for word in ("--situation", name)]
    page = table.page(compared, " ".join(["python -m tests.system.accounts", *words]), "47.0.0")
    print(page)
    if given.output:
        given.output.write_text(page + "\n", encoding="utf-8")
    return 1 if any(map(trouble, compared)) else 0


def _options() -> Options:
    return Options(cache_folder(), say=_say)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
