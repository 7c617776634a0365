"""Downloading from sites: resumed where it broke off, checked while it arrives, through proxies and private CAs.

Proxies and credentials come from the usual environment variables and ``~/.netrc``, as ``requests`` reads them. It is
imported only when something is downloaded: importing it takes a fifth of a command that downloads nothing.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from refstack_worker.environments.lock import LockedWheel
from refstack_worker.environments.store.file_locks import passing_lock
from refstack_worker.environments.wheels.index_page import ACCEPT, read_page
from refstack_worker.errors import WheelError
from refstack_worker.filesystem import disk_errors, sha256_of

if TYPE_CHECKING:
    import requests

LOG = logging.getLogger(__name__)

TIMEOUT = (10, 30)
"""Seconds to connect, and to wait for the next bytes."""

PIECE = 1 << 14
"""Bytes that are written at once; what was not written when a connection breaks is asked for again."""

TRIES = 4
"""How often a download that breaks off is taken up again without a byte of progress."""

PAUSES = (0.2, 1.0, 3.0)
"""Seconds between the tries."""

MAX_PAGE = 16 << 20
"""Bytes that an index's page or a wheelhouse's list may have."""

CA_HINT = "name the authority in ca_file (refstack-package: --ca-file)"

GONE = (403, 404, 410)
"""Answers that say: this site does not have it."""


@dataclass(frozen=True)
class Landing:
    """Where downloads arrive; both folders are on one file system."""

    parts: Path
    """For what is under way; what a killed process left there is taken up again."""
    whole: Path
    """For what has arrived and is verified; belongs to the one who asked."""


class Downloader:
    def __init__(self, ca_file: str = "") -> None:
        self.ca_file = ca_file

    def wheel(self, url: str, wheel: LockedWheel, landing: Landing) -> Path | None:
        """Download a wheel into ``landing.whole`` and return its path; ``None`` when the site does not have it.

        What arrived before a break, or before a kill, is not asked for again.

        :raises WheelError: it cannot be had, or is not what the lock says; nothing of it stays.
        """
        part = landing.parts / f"{wheel.sha256}.part"
        if urlsplit(url).scheme == "file":
            return _copied(url, wheel, landing)
        with disk_errors(f"downloading {wheel.filename}"), passing_lock(part):
            if not self._resumed(url, wheel, part):
                return None
            whole = landing.whole / f"{wheel.sha256}.whl"
            part.rename(whole)
        return whole

    def page(self, url: str, headers: dict[str, str] | None = None) -> requests.Response:
        """Get something small.

        :raises WheelError: the site cannot be reached, or answers an error other than 304 or :data:`GONE`.
        """
        try:
            with self._get(url, headers) as answer:
                content = answer.raw.read(MAX_PAGE + 1, decode_content=False)
        except (OSError, ValueError) as error:  # all that requests raises is an OSError
            raise WheelError(f"{shown(url)}: cannot be downloaded: {_said(error)}") from error
        if len(content) > MAX_PAGE:
            raise WheelError(f"{shown(url)}: more than {MAX_PAGE} bytes; this is not a list of files")
        if answer.status_code >= 400 and answer.status_code not in GONE:
            raise WheelError(f"{shown(url)}: response {answer.status_code} {answer.reason}")
        answer._content = content
        return answer

    def link(self, url: str, filename: str) -> str:
        """Return the address of a file on a project's page of an index; empty when it is not there.

        :raises WheelError: as :meth:`page`.
        """
        found = self._index_page(url)
        if found is None:
            return ""
        base, text = found
        try:
            page = read_page(text)
        except ValueError as error:
            raise WheelError(f"{shown(url)}: {error}") from None
        base = urljoin(base, page.base)
        named = ""
        for link in page.links:
            try:
                address = _joined(base, url, link.address)
            except ValueError:
                continue  # a link that leads nowhere is another file's
            if unquote(urlsplit(address).path.rpartition("/")[2]) == filename:
                return _without_fragment(address)
            if link.name == filename:
                # some indexes hand out files by numbers, and name them only beside the link
                named = named or _without_fragment(address)
        return named

    def _index_page(self, url: str) -> tuple[str, str] | None:
        """Return a project's page and the address that its links are relative to; None: the index has none."""
        if urlsplit(url).scheme == "file":
            path = local_path(url)
            page = path / "index.html" if path.is_dir() else path
            try:
                return url, page.read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:
                # a folder of files without a page
                names = sorted(path.iterdir()) if path.is_dir() else []
                return url, "".join(f'<a href="{quote(name.name)}"></a>' for name in names)
            except OSError as error:
                raise WheelError(f"{shown(url)}: cannot be read: {error.strerror}") from error
        answer = self.page(url, {"Accept": ACCEPT})
        # requests would guess the encoding of what it does not take for a text, which takes long
        answer.encoding = answer.encoding or "utf-8"
        return None if answer.status_code in GONE else (answer.url, answer.text)

    def _get(self, url: str, headers: dict[str, str] | None) -> AbstractContextManager[requests.Response]:
        from refstack_worker.http.session import HttpSession

        return HttpSession(ca_file=self.ca_file, is_public=True).response("GET", url, TIMEOUT, headers=headers)

    def _resumed(self, url: str, wheel: LockedWheel, part: Path) -> bool:
        import requests

        best = part.stat().st_size
        leftover, tries = best > 0, 0
        while True:
            try:
                if not self._more(url, wheel, part):
                    return False
                if _complete(wheel, part, url):
                    return True
                problem = "the download was interrupted"
            except requests.RequestException as error:
                problem = _said(error)
                if _is_distrust(error):  # another try would end the same way
                    raise WheelError(f"{wheel.filename}: {shown(url)}: {problem}") from error
            except WheelError:
                if not leftover:
                    raise
                leftover, problem = False, "the partial download on disk is damaged"
                os.truncate(part, 0)
                best = 0
            size = part.stat().st_size
            tries = 0 if size > best else tries + 1
            best = max(best, size)  # a site that starts over each time makes no progress
            if tries >= TRIES:
                raise WheelError(f"{wheel.filename}: {shown(url)}: {problem}; is the site up?")
            LOG.info("%s: %s at %d bytes, trying again", wheel.filename, problem, size)
            time.sleep(PAUSES[min(tries, len(PAUSES) - 1)])

    def _more(self, url: str, wheel: LockedWheel, part: Path) -> bool:
        have = part.stat().st_size
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with self._get(url, headers) as answer:
            if answer.status_code in GONE:
                return False
            if answer.status_code == 416:  # it has no more: what we have is whole, or nothing it ever had
                return True
            answer.raise_for_status()
            append = answer.status_code == 206
            with part.open("ab" if append else "wb") as stream:
                for chunk in answer.iter_content(PIECE):
                    stream.write(chunk)
                    if wheel.size and stream.tell() > wheel.size:
                        more = f"sends more than the {wheel.size} bytes that the lock states"
                        raise WheelError(f"{wheel.filename}: {shown(url)} {more}; refused")
        return True


def local_path(url: str) -> Path:
    """Return the path that a ``file:`` address names."""
    return Path(unquote(urlsplit(url).path))


def _copied(url: str, wheel: LockedWheel, landing: Landing) -> Path | None:
    whole = landing.whole / f"{wheel.sha256}.whl"
    try:
        shutil.copyfile(local_path(url), whole)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WheelError(f"{shown(url)}: cannot be read: {error.strerror}") from error
    try:
        if not _complete(wheel, whole, url):
            raise WheelError(
                f"{wheel.filename}: {shown(url)} is shorter than the {wheel.size} bytes that the lock states; refused"
            )
    except WheelError:
        whole.unlink()
        raise
    return whole


def _complete(wheel: LockedWheel, part: Path, url: str) -> bool:
    if wheel.size and part.stat().st_size < wheel.size:
        return False
    with part.open("rb") as stream:
        digest = sha256_of(stream)
    if digest != wheel.sha256:
        raise WheelError(
            f"{wheel.filename}: {shown(url)} has another file: SHA-256 {digest}, the lock says {wheel.sha256}; "
            "refused: publish the wheelhouse again"
        )
    return True


def _joined(base: str, asked: str, href: str) -> str:
    """Return the address of a link; on the index's own host with the user and token that the index was asked with."""
    address = urlsplit(urljoin(base, href))
    known = urlsplit(asked)
    user, at, host = known.netloc.rpartition("@")
    if at and (address.scheme, address.netloc) == (known.scheme, host):
        address = address._replace(netloc=f"{user}@{host}")
    return urlunsplit(address)


def _without_fragment(address: str) -> str:
    return urlunsplit(urlsplit(address)._replace(fragment=""))


def shown(url: str) -> str:
    """Return an address as messages may show it: without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def _is_distrust(error: Exception) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def _said(error: Exception) -> str:
    import requests

    reason = getattr(error, "reason", None)
    text = str(reason or error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        text = f"response {error.response.status_code} {error.response.reason}"
    elif isinstance(error, requests.Timeout):
        text = "no response in time"
    elif _is_distrust(error):
        why = re.search(r"certificate verify failed: (.+?) \(_ssl", text)
        text = f"its certificate is not trusted ({why[1] if why else text}); {CA_HINT}"
    elif isinstance(error, requests.exceptions.SSLError):
        text = f"TLS failed ({text})"
    elif isinstance(error, requests.ConnectionError):
        text = f"cannot be reached, or closed the connection ({text.rpartition(':')[2].strip(' )')})"
    return text
