"""Standard output on a terminal: what a cloud or a run wrote moves no cursor and renames no window.

Into files and pipes everything goes as it is.
"""

from __future__ import annotations

import codecs
from typing import Any, TextIO

from refstack_worker.contract.messages import printable

_DECODER = codecs.getincrementaldecoder("utf-8")


class TerminalOutput:
    """A text stream that shows control characters as ``\N{REPLACEMENT CHARACTER}``."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.buffer = _Bytes(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)

    def write(self, text: str) -> int:
        """Write text. A carriage return counts only where this program begins with one: at its bar of progress."""
        self.show(text, "\n\t\r" if text.startswith("\r") else "\n\t")
        return len(text)

    def show(self, text: str, kept: str = "\n\t") -> None:
        """Write text with none but these control characters."""
        self._out.write(printable(text, kept))


class _Bytes:
    """The same for what is saved to standard output as bytes."""

    def __init__(self, out: TerminalOutput) -> None:
        self._out = out
        self._decoder = _DECODER("replace")

    def write(self, data: bytes) -> int:
        self._out.show(self._decoder.decode(data).replace("\r\n", "\n"))
        return len(data)

    def flush(self) -> None:
        self._out.flush()


def guarded(out: TextIO) -> Any:
    """Return a stream to write to: the same one unless it is a terminal."""
    return TerminalOutput(out) if out.isatty() else out
