"""Lets Python start this folder as a program: ``python3 refstack_worker/execute_test …``."""

import os
import sys

# the folder itself must not stay on the path: its modules would hide others of the same name (http)
sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

from refstack_worker.execute_test.main import main  # noqa: E402

sys.exit(main())
