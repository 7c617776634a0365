"""``refstack-queue config check``: are the server's settings, and the files that they name, valid?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from cliff.show import ShowOne

from refstack_worker.cli.queue.ledger_access import settings_of
from refstack_worker.config import refstack_cfg
from refstack_worker.config import server as config
from refstack_worker.server.db.database import url_of
from refstack_worker.server.services.settings_check import check_settings


class ServerConfigCheck(ShowOne):
    """Check refstack.cfg and the files that it names; exits with 3 and the reason if one is wrong.

    No service is asked; 'doctor' also checks the database, the queue and the clocks. Names that are not settings are
    RefStack's own and left alone; those that look like a typo are listed as 'not used'.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        settings = settings_of(self.app)
        check_settings(settings)
        file = refstack_cfg.file_of(self.app.options.config)
        shown = {
            "file": str(file),
            "address": settings.web.address,
            "database": url_of(settings.database.url).render_as_string(hide_password=True),
            "gearman servers": "\n".join(map(str, settings.queue.servers)),
            "keys": str(settings.keys.sign.parent),
            "seal to": settings.keys.seal_to,
        }
        if unused := refstack_cfg.misspelt(file, config.NAMES):
            shown["not used"] = "\n".join(unused)
        return tuple(shown), tuple(shown.values())
