"""Starts the real nova-compute with this folder on the search path of ``nova.virt``, where Nova looks for drivers."""

from __future__ import annotations

from pathlib import Path

# its package patches the standard library for eventlet and has to come first
import nova.cmd.compute
import nova.virt


def main() -> None:
    """Carry out what the program nova-compute does."""
    nova.virt.__path__.append(str(Path(__file__).resolve().parent))
    nova.cmd.compute.main()


if __name__ == "__main__":
    main()
