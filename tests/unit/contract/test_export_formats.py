"""Every format has its name once, and something that makes it."""

from __future__ import annotations

from refstack_worker.contract import export_formats
from refstack_worker.server.results.exports.formats import FORMATS


def test_server_makes_every_format_that_is_named() -> None:
    streamed = {export_formats.SUBUNIT, export_formats.SUBUNIT_V1, export_formats.SIGNED_VERDICT}
    assert set(export_formats.ALL) == {*FORMATS, *streamed}
    assert len(set(export_formats.ALL)) == len(export_formats.ALL)
    assert set(export_formats.ON_PAGES) <= set(export_formats.ALL)
