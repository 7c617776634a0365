"""What a node counts, in Prometheus's text format (version 0.0.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HELP = {
    "refstack_worker_up": "The worker runs.",
    "refstack_worker_slots": "Runs that it can carry out side by side.",
    "refstack_worker_busy_slots": "Runs that it carries out now.",
    "refstack_worker_accepting": "1 while it takes runs: not paused, not draining, room on the disks.",
    "refstack_worker_versions": "Tempest versions that it can build.",
    "refstack_worker_gearman_connected": "Gearman servers that at least one slot is connected to.",
    "refstack_worker_gearman_servers": "Gearman servers in the configuration.",
    "refstack_worker_spool_entries": "Results and last words that the server has not taken yet.",
    "refstack_worker_spool_bytes": "Their size.",
    "refstack_worker_free_bytes": "Free space by folder.",
    "refstack_worker_runs_total": "Runs by how they ended on this node, since its start.",
}


def text(status: Mapping[str, Any]) -> str:
    """Return the metrics of what ``status`` shows."""
    node = {"node": status["node"]}
    lines: list[str] = []

    def add(name: str, value: float, kind: str = "gauge", **labels: str) -> None:
        if not any(line.startswith(f"# HELP {name} ") for line in lines):
            lines.extend((f"# HELP {name} {_HELP[name]}", f"# TYPE {name} {kind}"))
        shown = ",".join(f'{key}="{_escape(item)}"' for key, item in {**node, **labels}.items())
        lines.append(f"{name}{{{shown}}} {value:g}" if value % 1 else f"{name}{{{shown}}} {int(value)}")

    add("refstack_worker_up", 1)
    add("refstack_worker_slots", len(status["slots"]))
    add("refstack_worker_busy_slots", sum(slot["busy"] for slot in status["slots"]))
    add("refstack_worker_accepting", status["accepting"])
    add("refstack_worker_versions", len(status["versions"]))
    add("refstack_worker_gearman_connected", sum(server["connected"] for server in status["gearman"]))
    add("refstack_worker_gearman_servers", len(status["gearman"]))
    add("refstack_worker_spool_entries", status["spool"]["entries"])
    add("refstack_worker_spool_bytes", status["spool"]["bytes"])
    for disk in status["disks"]:
        add("refstack_worker_free_bytes", disk["free_mb"] << 20, folder=disk["folder"])
    for kind, count in sorted(status["ended"].items()):
        add("refstack_worker_runs_total", count, "counter", ending=kind)
    return "\n".join(lines) + "\n"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
