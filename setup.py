"""Build script: pbr reads everything from setup.cfg; packaging/source_version.py decides the version of a checkout."""

import os
import subprocess
import sys
from pathlib import Path

import setuptools

TOP = Path(__file__).resolve().parent

if (TOP / ".git").exists() and "PBR_VERSION" not in os.environ:
    words = [sys.executable, str(TOP / "packaging" / "source_version.py")]
    os.environ["PBR_VERSION"] = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()  # noqa: S603

setuptools.setup(setup_requires=["pbr>=5.10"], pbr=True)
