"""Let schemathesis loose on the API: ``python -m tests.system.web.fuzz [EXAMPLES]`` (needs schemathesis).

As an operator, on a furnished ledger. Revoking tokens is left out: it would take away its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.system.web.site import furnish, serving

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance"
)


def main(examples: int) -> int:
    """Return schemathesis's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        with serving(Path(folder), RATE_LIMIT=0, SIGN_IN_LIMIT=0, EVENT_STREAMS=0) as site:
            furnish(site)
            words = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{site.url}/v1/openapi.json"]
            words += ["-H", f"Authorization: Bearer {site.tokens['operator']}", "--max-examples", str(examples)]
            words += ["--phases", "coverage,fuzzing", "--checks", CHECKS, "--workers", "1"]
            words += ["--exclude-operation-id", "delete_tokens__token_id_"]
            return subprocess.run(words, check=False, cwd=folder).returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
