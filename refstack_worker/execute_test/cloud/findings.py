"""What was found out about a cloud beyond its log-in: options, the reasons for them, and what the cloud lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refstack_worker.contract.cloud_needs import Gap, Need
from refstack_worker.execute_test.tempest.conf import is_plain


@dataclass
class CloudFindings:
    """Options for ``tempest.conf`` that were not set, and sentences about them."""

    given: Mapping[str, Mapping[str, Any]]
    """What the server or the vendor set: it always wins, so nothing is looked up for it."""
    conf: dict[str, dict[str, Any]] = field(default_factory=dict)
    choices: list[str] = field(default_factory=list)
    """What was chosen and why, for people."""
    gaps: list[Gap] = field(default_factory=list)
    """What the cloud lacks, and which tests are skipped or fail because of it."""

    def lacks(self, need: Need, text: str, areas: tuple[str, ...] = ()) -> None:
        """Note that the cloud lacks something; for ``areas`` see :class:`Gap`."""
        self.gaps.append(Gap(need, text, areas))

    def is_given(self, section: str, option: str) -> bool:
        """Return whether an option was set by the server or the vendor."""
        return self.given.get(section, {}).get(option) not in (None, "")

    def value(self, section: str, option: str) -> Any:
        """Return an option as it was set, or as it was found; None without either."""
        given = self.given.get(section, {}).get(option)
        return given if given not in (None, "") else self.conf.get(section, {}).get(option)

    def choose(self, section: str, option: str, value: Any, why: str = "") -> None:
        """Set an option unless it was set from outside; ``why`` is the sentence about it."""
        if self.is_given(section, option):
            return
        if not is_plain(value):
            # a name of a resource in the cloud would otherwise be able to set options of Tempest
            self.choices.append(f"{section}.{option} is left out: the cloud's value for it is not a single line")
            return
        self.conf.setdefault(section, {})[option] = value
        if why:
            self.choices.append(why)
