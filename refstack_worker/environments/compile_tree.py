"""Byte-compile the files named on standard input, as they are named; run by the interpreter that the byte-code is for.

Stands alone: standard library only, Python 3.6 and newer, since it runs in interpreters that know nothing of this
package. Each input line is a JSON list ``[file, name to show in tracebacks, modification time]``; each output line
``[file, its byte-code file, SHA-256, bytes]``. Files that are no Python (templates, tests for errors) are left out, as
pip leaves them. Exits with 1 and a message when the disk refuses.
"""

import ctypes
import hashlib
import json
import multiprocessing
import os
import py_compile
import signal
import sys
import warnings
from typing import Any

PR_SET_PDEATHSIG = 1


def compile_one(job: Any) -> Any:
    path, shown, timestamp = job
    try:
        compiled = str(py_compile.compile(path, dfile=shown, doraise=True))
    except OSError as error:
        return path, "", f"{error.filename or path}: {error.strerror}", 0
    except Exception:
        return None
    with open(compiled, "rb") as stream:
        content = stream.read()
    os.chmod(compiled, 0o444)
    os.utime(compiled, (timestamp, timestamp))
    return path, compiled, hashlib.sha256(content).hexdigest(), len(content)


def die_with_parent() -> None:
    """Have the kernel end this process when the one that started it is gone: nobody reads what it writes then."""
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
    print("\n".join(done))


if __name__ == "__main__":
    main()
