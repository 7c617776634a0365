"""Prints figures of the house: crowded folders, names that mislead, long parts, stilted English.

Long modules, long functions and names of limits are counted in the tests too, thin docstrings in all that is installed;
folders, siblings and class names in the package.

    python -m tests.house                 the table
    python -m tests.house --details       and every place that counts in it
    python -m tests.house --text          each message, help text and page text as FILE:LINE: TEXT
    python -m tests.house --check         end with 1 unless the figures that must be 0 are

``--top FOLDER`` looks at another checkout.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.house import figures, prose, signs
from tests.house.figures import Finding

TOP = Path(__file__).resolve().parents[2]
TESTS = "tests/"


@dataclass(frozen=True)
class Figure:
    """A line of the table."""

    name: str
    findings: Sequence[Finding]
    must_be_zero: bool = True


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--top", type=Path, default=TOP, help="checkout to look at (default: this one)")
    parser.add_argument("--details", action="store_true", help="list every place that counts")
    parser.add_argument("--text", action="store_true", help="list the texts that users and operators see")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure that must be 0 is not")
    options = parser.parse_args(arguments)
    if options.text:
        print_messages(options.top)
        return 0
    lines = measure(options.top)
    print_table(options.top, lines)
    if options.details:
        print_details(lines)
    return 1 if options.check and any(line.must_be_zero and line.findings for line in lines) else 0


def measure(top: Path) -> list[Figure]:
    """Return the lines of the table for a checkout."""
    modules = figures.read_modules(top)
    product = [
        *modules,
        *(one for folder in ("installer", "tools", "packaging") for one in figures.read_modules(top, folder)),
    ]
    everything = [*product, *figures.read_modules(top, "tests")]
    texts = prose.read_texts(top)
    found = signs.find_signs(texts)
    return [
        Figure(f"folders with more than {figures.MAX_MODULES} modules", figures.crowded_folders(modules), False),
        Figure("groups of 3 or more siblings with a common prefix", figures.sibling_groups(modules), False),
        Figure("class names that occur twice", figures.repeated_classes(modules), False),
        Figure(f"modules over {figures.MAX_MODULE_LINES} lines", figures.long_modules(everything)),
        Figure(f"functions over {figures.MAX_FUNCTION_LINES} lines", figures.long_functions(everything)),
        Figure(f"docstrings of {figures.MAX_THIN_WORDS} words or fewer", figures.thin_docstrings(product)),
        Figure("limits named MOST_, LONGEST_, LARGEST_", figures.odd_limits(everything)),
        Figure("signs of stilted English", [one for one in found if not one.place.startswith(TESTS)]),
        Figure("signs of stilted English in the tests", [one for one in found if one.place.startswith(TESTS)], False),
    ]


def print_table(top: Path, lines: Sequence[Figure]) -> None:
    print("modules per folder")
    for folder, inside in figures.by_folder(figures.read_modules(top)).items():
        mark = f"  more than {figures.MAX_MODULES}" if len(inside) > figures.MAX_MODULES else ""
        print(f"  {folder:<50} {len(inside):>4}{mark}")
    print("\nfigures")
    for line in lines:
        goal = "  to be 0" if line.must_be_zero else ""
        print(f"  {line.name:<50} {len(line.findings):>4}{goal}")
    print("\nsigns outside the tests")
    counted = signs.count_signs(
        [one for line in lines if line.name == "signs of stilted English" for one in line.findings]
    )
    for name in signs.SIGNS:
        print(f"  {name:<50} {counted[name]:>4}")


def print_details(lines: Sequence[Figure]) -> None:
    for line in lines:
        print(f"\n{line.name}: {len(line.findings)}")
        for finding in line.findings:
            print(f"  {finding}")


def print_messages(top: Path) -> None:
    for text in prose.messages(prose.read_texts(top)):
        print(f"{text.place}: {' '.join(text.text.split())}")


if __name__ == "__main__":
    sys.exit(main())
