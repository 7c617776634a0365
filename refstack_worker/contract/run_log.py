"""Tempest's own log as it travels with a result: compressed, and with its middle left out if it is very long.

Standard library alone: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

LOG_FIELD = "log"
"""Name of the field in the posted form."""
MAX_TEXT = 32 * 1024 * 1024
"""Bytes of a log that are kept."""
KEPT_HEAD = 8 * 1024 * 1024
"""Of those, from its beginning; the rest is from its end."""
MAX_PACKED = 8 * 1024 * 1024
"""Bytes of a compressed log; one that is larger is not sent."""
_PIECE = 1024 * 1024
_GZIP = zlib.MAX_WBITS | 16


def packed(path: Path) -> bytes:
    """Return the log in a file, compressed (gzip); nothing if there is none, or it stays too large."""
    try:
        with path.open("rb") as log:
            size = path.stat().st_size
            pieces = [log.read(KEPT_HEAD if size > MAX_TEXT else MAX_TEXT)]
            if size > MAX_TEXT:
                kept_end = MAX_TEXT - KEPT_HEAD
                pieces.append(f"\n[{size - MAX_TEXT} bytes of the log are left out here]\n".encode())
                log.seek(size - kept_end)
                pieces.append(log.read(kept_end))
    except OSError:
        return b""
    compressor = zlib.compressobj(wbits=_GZIP)
    data = b"".join([*map(compressor.compress, pieces), compressor.flush()])
    return data if len(data) <= MAX_PACKED else b""


def unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the text of a compressed log, at most :data:`MAX_TEXT` bytes and a line.

    :raises ValueError: the bytes are not a compressed log.
    """
    decompressor, left = zlib.decompressobj(_GZIP), MAX_TEXT + _PIECE
    for data in pieces:
        while data and left > 0:
            try:
                text = decompressor.decompress(data, min(_PIECE, left))
            except zlib.error as error:
                raise ValueError(f"not a compressed log: {error}") from None
            left -= len(text)
            yield text
            data = decompressor.unconsumed_tail
