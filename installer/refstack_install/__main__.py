"""Entry point of ``python3 refstack-install``."""

import sys

if sys.version_info < (3, 9):  # noqa: UP036 - an older Python gets a clear message
    sys.exit("refstack-install: needs Python 3.9 or newer; this is " + sys.version.split()[0])

from refstack_install.cli import main

sys.exit(main())
