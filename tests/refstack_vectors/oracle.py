"""Runs in RefStack's own virtualenv: prints what its code says of guideline files, as JSON.

Arguments: the files. For each file, target and set of statuses: the capabilities and the four test lists (with and
without aliases, with and without flagged tests).
"""

import json
import os
import sys

from refstack.api import app  # noqa: F401 - registers the options that the next module reads
from refstack.api.guidelines import Guidelines

TARGETS = ("platform", "compute", "object", "dns", "orchestration")
STATUSES = ("required", "advisory", "deprecated", "removed")


def lists(guidelines, content, target):
    found = {}
    for status in STATUSES:
        capabilities = guidelines.get_target_capabilities(content, [status], target)
        found[status] = {
            "capabilities": sorted(capabilities),
            "tests": {
                f"alias={alias:d},flag={flag:d}": guidelines.get_test_list(content, capabilities, alias, flag)
                for alias in (True, False)
                for flag in (True, False)
            },
        }
    return found


def main(paths):
    guidelines = Guidelines(repo_url="none", raw_url="none", additional_capability_urls="none")
    answer = {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        targets = answer[os.path.basename(path)] = {}
        for target in TARGETS:
            try:
                targets[target] = lists(guidelines, content, target)
            except KeyError:
                continue  # RefStack does not know this target in this file
    json.dump(answer, sys.stdout)


main(sys.argv[1:])
