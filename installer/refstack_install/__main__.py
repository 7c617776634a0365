"""``python3 refstack-install``: what the built file starts with."""

import sys

if sys.version_info < (3, 9):  # noqa: UP036 - whoever starts it with an older one is told
    sys.exit("refstack-install: Python 3.9 or newer is needed; this is " + sys.version.split()[0])

from refstack_install.cli import main

sys.exit(main())
