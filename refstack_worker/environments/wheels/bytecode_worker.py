"""Byte-compile the files named on standard input, as they are named; run by the interpreter that the byte-code is for.

Stands alone: standard library only, Python 3.6 and newer, since it runs in interpreters that know nothing of this
package. Each input line is a JSON list ``[file, name to show in tracebacks, modification time]``; each output line
``[file, its byte-code file, SHA-256, bytes]``. Files that are no Python (templates, tests for errors) are left out, as
pip leaves them. Exits with 1 and a message when the disk refuses.
"""

import ctypes
import hashlib
import importlib.util
import json
import marshal
import multiprocessing
import os
import signal
import sys
import warnings
from typing import Any

PR_SET_PDEATHSIG = 1


def compile_one(job: Any) -> Any:
    path, shown, timestamp = job
    try:
        with open(path, "rb") as stream:
            source = stream.read()
        content = byte_code(source, shown, timestamp)
    except OSError as error:
        return path, "", f"{path}: {error.strerror}", 0
    except Exception:
        return None
    compiled = importlib.util.cache_from_source(path)
    try:
        write(compiled, content, timestamp)
    except OSError as error:
        return path, "", f"{compiled}: {error.strerror}", 0
    return path, compiled, hashlib.sha256(content).hexdigest(), len(content)


def byte_code(source: bytes, shown: str, timestamp: int) -> bytes:
    """Return what a ``.pyc`` file holds: header (PEP 552; without its flags before Python 3.7) and marshalled code.

    ``py_compile`` makes the same bytes, by way of a second file and a rename, which for thousands of files is most of
    the disk's work; here no one reads the file before the whole entry is complete.
    """
    code = compile(source, shown, "exec", dont_inherit=True)
    flags = b"\0\0\0\0" if sys.version_info >= (3, 7) else b""
    numbers = b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in (timestamp, len(source)))
    return importlib.util.MAGIC_NUMBER + flags + numbers + marshal.dumps(code)


def write(path: str, content: bytes, timestamp: int) -> None:
    try:
        os.mkdir(os.path.dirname(path))
    except FileExistsError:
        pass
    try:
        os.unlink(path)  # a wheel may bring byte-code of its own
    except FileNotFoundError:
        pass
    with open(path, "xb") as stream:
        stream.write(content)
        stream.flush()
        os.fchmod(stream.fileno(), 0o444)
        os.utime(stream.fileno(), (timestamp, timestamp))


def die_with_parent() -> None:
    """Have the kernel end this process with its parent, since no one would read its output."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    except (AttributeError, OSError):
        pass  # not Linux: what it leaves is swept all the same


def main() -> None:
    die_with_parent()
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(10000)
    done = []
    with multiprocessing.get_context("fork").Pool(int(sys.argv[1]), die_with_parent) as pool:
        # lazily: files are named while others are still being unpacked
        for result in pool.imap_unordered(compile_one, (json.loads(line) for line in sys.stdin), chunksize=8):
            if result is not None and not result[1]:
                sys.exit("cannot compile " + result[2])
            if result is not None:
                done.append(json.dumps(result))
    for line in done:  # of a wheel without Python files nothing at all
        print(line)


if __name__ == "__main__":
    main()
