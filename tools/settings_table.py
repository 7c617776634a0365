"""Write the table of the server's settings into ``docs/server.md``: ``python -m tools.settings_table``.

With ``--check`` nothing is written, and the exit status is 1 when the page differs from the settings.
"""

from __future__ import annotations

import sys
from pathlib import Path

from refstack_worker.config.declared import table
from refstack_worker.config.server import GROUPS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "server.md"
BEGIN = "<!-- settings: made by python -m tools.settings_table -->\n"
END = "<!-- end of settings -->\n"


def page_with_table(text: str) -> str:
    """Return a page with the table between its marks replaced by today's settings."""
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{table(GROUPS)}\n\n{END}{rest.partition(END)[2]}"


def main(argv: list[str]) -> int:
    """Write or check the page."""
    text = PAGE.read_text(encoding="utf-8")
    current = page_with_table(text)
    if "--check" in argv:
        return int(current != text)
    PAGE.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
