"""The census of a test cloud, as ``installer/democloud`` takes it."""

from __future__ import annotations

import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "installer"))

from democloud.census import added, census, project_names  # noqa: E402 - the installer is no package of the project

__all__ = ["added", "census", "project_names"]
