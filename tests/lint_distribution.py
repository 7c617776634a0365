"""Whether sdist and wheel can be published: twine, check-wheel-contents, and the version that the commit has.

    python tests/lint_distribution.py

run with the interpreter of a virtualenv that has build, twine, check-wheel-contents, pbr, setuptools and wheel.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def main() -> int:
    version = run(sys.executable, TOP / "packaging" / "source_version.py")
    metadata = TOP / "refstack_worker.egg-info"
    is_ours = not metadata.exists()
    try:
        return check(version)
    finally:
        # the tests put the checkout on the path, where it would count as an installed distribution
        if is_ours:
            shutil.rmtree(metadata, ignore_errors=True)


def check(version: str) -> int:
    with tempfile.TemporaryDirectory(prefix="refstack-dist-") as name:
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", name)
        files = sorted(path.name for path in Path(name).iterdir())
        expected = [f"refstack_worker-{version}-py3-none-any.whl", f"refstack_worker-{version}.tar.gz"]
        if files != expected:
            sys.exit(f"lint_distribution: built {', '.join(files)}; expected {', '.join(expected)}")
        paths = [Path(name, file) for file in files]
        run(BIN / "twine", "check", "--strict", *paths)
        run(BIN / "check-wheel-contents", paths[0])
    print(f"sdist and wheel of {version}: nothing found")
    return 0


def run(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], cwd=TOP, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"lint_distribution: {words[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
