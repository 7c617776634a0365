"""HTTP requests: a server's clock, and small files."""

from __future__ import annotations

import ssl
import time
from email.utils import parsedate_to_datetime
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, build_opener

SECONDS = 10.0
MAX_FILE_BYTES = 1024 * 1024


def clock_offset(url: str, ca_file: str = "") -> float | None:
    """Return how many seconds this machine's clock is ahead of a server's; None if the server sends no date.

    :raises OSError: the server does not answer.
    """
    began = time.time()
    try:
        with _opener(ca_file).open(url, timeout=SECONDS) as answer:
            date = answer.headers.get("Date")
    except HTTPError as error:
        date = error.headers.get("Date")
        error.close()
    except URLError as error:
        raise OSError(str(error.reason)) from error
    if not date:
        return None
    try:
        return (began + time.time()) / 2 - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None


def fetch(url: str) -> bytes:
    """Return a file from a URL. :raises OSError: it cannot be fetched."""
    try:
        with _opener("").open(url, timeout=SECONDS) as answer:
            return bytes(answer.read(MAX_FILE_BYTES))
    except URLError as error:
        raise OSError(str(getattr(error, "reason", error))) from error


def _opener(ca_file: str) -> OpenerDirector:
    context = ssl.create_default_context(cafile=ca_file or None)
    return build_opener(ProxyHandler(), HTTPSHandler(context=context))
