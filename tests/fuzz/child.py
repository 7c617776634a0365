"""One target under atheris (libFuzzer): ``python -m tests.fuzz.child TARGET [libFuzzer's options and corpora]``."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["refstack_worker"]):
    from tests.fuzz import targets

    if sys.argv[1] == "http":
        from tests.fuzz import site as site


def main() -> None:
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, targets.TARGETS[name])
    atheris.Fuzz()


main()
