"""Numbers of options, checked before a command begins."""

from __future__ import annotations

import argparse

MAX_PORT = 65535


def count(text: str) -> int:
    """Return a whole number from 0 up. :raises ArgumentTypeError: it is none."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def port(text: str) -> int:
    """Return a port; 0: a free one. :raises ArgumentTypeError: it is none."""
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, which is a number from 1 to {MAX_PORT}")
    return int(text)
