"""Run one interoperability test: fetch, configure, run Tempest, post the result.

The contract with the server and with a worker (arguments, files, events, exit codes) is ``docs/protocol.md``; the
guide for people is ``docs/execute_test.md``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from refstack_worker.contract.execute_test import ExitCode
from refstack_worker.execute_test.arguments import parse_arguments, wants_json_progress
from refstack_worker.execute_test.failures import Failure, MachineFailure, RunConclusion, TempestFailure
from refstack_worker.execute_test.log import LOG, SECRETS
from refstack_worker.execute_test.progress import EventWriter


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line asks; returns the exit code of ``docs/exit-codes.md``."""
    words = list(sys.argv[1:] if argv is None else argv)
    events = EventWriter(wants_json_progress(words), sys.stdout)
    os.umask(0o077)
    try:
        verdict = _carry_out(words, events)
    except Failure as error:
        verdict = RunConclusion.of(error)
    except ImportError as error:
        verdict = RunConclusion.of(MachineFailure(f"this machine: {error}; install python3-requests"))
    except OSError as error:
        verdict = RunConclusion.of(MachineFailure(f"this machine: {error}"))
    except MemoryError:
        verdict = RunConclusion.of(MachineFailure("this machine: not enough memory"))
    except Exception as error:  # left to Python, it would show secrets, and end as if tests had failed
        if LOG.handlers:
            LOG.exception("unexpected error")
        verdict = RunConclusion.of(TempestFailure(f"bug in execute_test: {type(error).__name__}: {error}"[:500]))
    code, reason, message = verdict
    if LOG.handlers:
        (LOG.info if code == ExitCode.PASSED else LOG.error)("%s: %s", reason.value, message)
    elif not events.as_json:  # nothing was started: the message is all there is, once
        print(f"execute_test: {reason.value}: {SECRETS.mask(message)}", file=sys.stderr)
        return int(code)
    events.end(code, reason, message)
    return int(code)


def _carry_out(words: Sequence[str], events: EventWriter) -> RunConclusion:
    args = parse_arguments(words)
    # --help and a wrong command line do without the rest, which takes most of the start
    from refstack_worker.execute_test.commands import carry_out

    return carry_out(args, events)


if __name__ == "__main__":
    sys.exit(main())
