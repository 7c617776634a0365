"""A folder with a program in Tempest's place: it says what it can do, and writes a stream that a test prepared."""

from __future__ import annotations

import json
import sys
from pathlib import Path

_PYTHON = """\
#!/bin/sh
case "$3" in
  *importlib.util*) echo '{about}';;
  *) exec {python} "$@";;
esac
"""
_TEMPEST = """\
#!/bin/sh
for word; do
  [ "$word" = --list-tests ] && cat {folder}/listing && exit 0
done
cat {folder}/stream
echo "{noise}" >&2
exit {status}
"""


def tempest_standin(folder: Path, stream: bytes, status: int = 0, noise: str = "", listing: str = "") -> Path:
    """Make the folder; returns it, for ``--tempest-home``."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    (folder / "stream").write_bytes(stream)
    (folder / "listing").write_text(listing)
    able = {"include_list": True, "load_list": False, "name_prefix": True, "reads_conf_late": False}
    about = json.dumps(
        {"home": str(folder), "version": "47.0.0", **able, "names": ["auth", "identity", "admin_username"]}
    )
    (programs / "python").write_text(_PYTHON.format(about=about, python=sys.executable))
    (programs / "tempest").write_text(_TEMPEST.format(folder=folder, noise=noise, status=status))
    (programs / "stestr").symlink_to("/bin/true")
    for name in ("python", "tempest"):
        (programs / name).chmod(0o755)
    return folder
