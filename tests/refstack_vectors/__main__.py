"""What RefStack 2.1.0's own code says of every interop guideline, kept as figures and digests.

    REFSTACK_TEST_INTEROP=FOLDER python -m tests.refstack_vectors make     compute the vectors with RefStack's code
    python -m tests.refstack_vectors table                                 write the table into docs/guidelines.md
    python -m tests.refstack_vectors tempest LISTING                       take the tests of a Tempest's listing

``make`` needs node (for the results page), Python 3.10 (for the server) and the package index.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.refstack_vectors import recorded
from tests.support import refstack

HERE = Path(__file__).resolve().parent
VECTORS = recorded.DATA / "refstack-2.1.0-vectors.json"
DOCS = HERE.parents[1] / "docs" / "guidelines.md"
MARK = "<!-- made by: python -m tests.refstack_vectors table -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("make", "table", "tempest"))
    parser.add_argument("listing", nargs="?", type=Path, help="what 'tempest run --list-tests' prints")
    args = parser.parse_args()
    if args.command == "tempest":
        take_listing(args.listing)
    elif args.command == "make":
        VECTORS.write_text(compact(make(refstack.guideline_files())), encoding="utf-8")
    else:
        write_table()


def make(paths: Mapping[str, Path]) -> dict[str, Any]:
    """Return the vectors: file → digest, target → sets of tests and verdicts."""
    contents = {name: json.loads(path.read_bytes()) for name, path in paths.items()}
    sets = json.loads(
        subprocess.run([refstack.python(), HERE / "oracle.py", *paths.values()], capture_output=True, check=True).stdout
    )
    cases = {name: recorded.cases(content) for name, content in contents.items()}
    verdicts = page_verdicts(contents, cases, {name: list(targets) for name, targets in sets.items()})
    return {
        name: {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "targets": {
                target: {"sets": set_figures(found), "verdicts": verdict_figures(verdicts[name][target])}
                for target, found in sets[name].items()
            },
        }
        for name, path in paths.items()
    }


def page_verdicts(
    contents: Mapping[str, Any], cases: Mapping[str, Mapping[str, list[recorded.Ran]]], targets: Mapping[str, list[str]]
) -> Any:
    """Ask the results page's own code."""
    results = {
        name: {case: recorded.passed_names(ran) for case, ran in of_file.items()} for name, of_file in cases.items()
    }
    question = json.dumps({"guidelines": contents, "results": results, "targets": targets})
    done = subprocess.run(
        ["node", HERE / "page.js", refstack.page()], input=question, capture_output=True, check=True, text=True
    )
    return json.loads(done.stdout)


def set_figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return for each status: number and digest of its capabilities, and of each of its four test lists."""
    return {
        status: {
            "capabilities": figure(one["capabilities"]),
            **{what: figure(plain(test) for test in tests) for what, tests in one["tests"].items()},
        }
        for status, one in found.items()
        if one["capabilities"]
    }


def verdict_figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return for each recorded result: [passed, counted], [passed, all] for each status, digest per capability."""
    return {
        case: {
            "counted": [one["counted_passed"], one["counted"]],
            **{
                status: [of["passed"], of["total"], of["flagged_passed"], of["flagged_failed"]]
                for status, of in one["statuses"].items()
                if of["capabilities"]
            },
            "capabilities": digest(one["statuses"]),
        }
        for case, one in found.items()
    }


def digest(statuses: Mapping[str, Any]) -> str:
    """Return the digest of the figures of each capability."""
    rows = sorted(
        f"{status} {' '.join(map(str, row))}" for status, of in statuses.items() for row in of["capabilities"]
    )
    return figure(rows)[1]


def plain(test: str) -> str:
    """Return a test of RefStack's list as name and id, whatever stands around the id."""
    name, _, inside = test.partition("[")
    uuid = recorded.UUID.search(inside)
    return f"{name} {uuid[0] if uuid else ''}".strip()


def figure(lines: Iterable[str]) -> tuple[int, str]:
    """Return how many lines there are and the digest of them, sorted."""
    ordered = sorted(lines)
    return len(ordered), hashlib.sha256("\n".join(ordered).encode()).hexdigest()[:16]


def compact(vectors: Mapping[str, Any]) -> str:
    """Return the vectors as JSON with one line for each set and verdict, so that changes can be read."""
    lines = []
    for name, of_file in vectors.items():
        targets = []
        for target, of_target in of_file["targets"].items():
            rows = [f'    "{key}": {block(of_target[key])}' for key in ("sets", "verdicts")]
            targets.append(f'   "{target}": {{\n' + ",\n".join(rows) + "}")
        lines.append(f' "{name}": {{"sha256": "{of_file["sha256"]}", "targets": {{\n' + ",\n".join(targets) + "}}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def block(values: Mapping[str, Any]) -> str:
    return "{\n" + ",\n".join(f"     {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items()) + "}"


def take_listing(listing: Path) -> None:
    """Keep of a listing the tests whose name or id some guideline has."""
    names, ids = set(), set()
    for path in refstack.guideline_files().values():
        for name, uuid, aliases in recorded._tests(json.loads(path.read_bytes())):
            names |= {name, *aliases}
            ids.add(uuid)
    kept: dict[str, dict[str, dict[str, str]]] = {}
    for line in sorted(listing.read_text(encoding="utf-8").split("\n")):
        name, _, inside = line.partition("[")
        found = recorded.UUID.search(inside)
        uuid = found[0] if found else ""
        if name in names or (uuid and uuid in ids):
            parent, _, test = name.rpartition(".")
            module, _, short = parent.rpartition(".")
            kept.setdefault(module, {}).setdefault(short, {})[test] = uuid
    recorded.TEMPEST.write_text(json.dumps(kept, indent=0) + "\n", encoding="utf-8")


def write_table() -> None:
    """Write the table between its mark and the next heading."""
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(MARK)
    after = rest[rest.index("\n## ") :] if "\n## " in rest else "\n"
    DOCS.write_text(before + MARK + "\n" + table(json.loads(VECTORS.read_text(encoding="utf-8"))) + after, "utf-8")


def table(vectors: Mapping[str, Any]) -> str:
    """Return the table of the guidelines as Markdown."""
    rows = [
        "| guideline | target | required: tests (without flagged) | with aliases | advisory | deprecated | removed "
        "| required passed with Tempest 47.0.0 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, of_file in vectors.items():
        for target, of_target in of_file["targets"].items():
            rows.append(table_row(name.removesuffix(".json"), target, of_target))
    return "\n".join(rows) + "\n"


def table_row(name: str, target: str, vector: Mapping[str, Any]) -> str:
    sets = vector["sets"]

    def number(status: str, key: str = "alias=0,flag=1") -> int:
        return int(sets[status][key][0]) if status in sets else 0

    required = f"{number('required')} ({number('required', 'alias=0,flag=0')})"
    passed, counted = vector["verdicts"]["Tempest 47.0.0, all passed"]["counted"]
    others = " | ".join(str(number(status)) for status in ("advisory", "deprecated", "removed"))
    aliases = number("required", "alias=1,flag=1")
    return f"| {name} | {target} | {required} | {aliases} | {others} | {passed} of {counted} |"


if __name__ == "__main__":
    main()
