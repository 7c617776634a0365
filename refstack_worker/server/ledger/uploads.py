"""What was uploaded to RefStack, once for each result and server, and the users' own upload keys."""

from __future__ import annotations

from dataclasses import asdict, replace

from sqlalchemy import delete, insert, select, update

from refstack_worker.errors import StateError
from refstack_worker.server.db.verdict_tables import upload, upload_key
from refstack_worker.server.domain.uploads import StoredKey, UploadRecord
from refstack_worker.server.ledger.transactions import LedgerPart, refused

PENDING_SECONDS = 300.0
"""An upload that has not ended after so long is over: its process died, and whether the result arrived is unknown."""


def unknown(wish: UploadRecord) -> str:
    """Return what to tell the owner of a result that may be at a server."""
    return (
        f"an upload of run {wish.test_id} got no answer, so the result may be at {wish.server}; look there, and only "
        "if it is missing, upload it again ('run upload --again')"
    )


class Uploads(LedgerPart):
    def reserve(self, wish: UploadRecord, again: bool = False) -> UploadRecord | None:
        """Begin an upload. :returns: the record of a former one, which ended well; None: go on.

        :param again: go on also if the result may be there, because the answer to an earlier upload was lost.
        :raises RefusedError: ``uploading``: another call is doing it now.
        :raises StateError: the result may be there.
        """
        same = (upload.c.test_id == wish.test_id) & (upload.c.server == wish.server)
        now = self.clock()
        with self.database.writing() as connection:
            self.transactions.locked_run(connection, wish.test_id)
            row = connection.execute(select(upload).where(same)).mappings().first()
            if row is not None and row["remote_id"]:
                return UploadRecord(**row)
            if row is not None and row["uploaded_at"] > now - PENDING_SECONDS:
                raise refused("uploading", f"the result of run {wish.test_id} is being uploaded by another call")
            if row is not None and not again:
                raise StateError(unknown(wish))
            connection.execute(delete(upload).where(same))
            connection.execute(insert(upload).values(asdict(replace(wish, uploaded_at=now))))
        return None

    def finish(self, done: UploadRecord) -> None:
        """Note an upload that ended well."""
        same = (upload.c.test_id == done.test_id) & (upload.c.server == done.server)
        values = {"remote_id": done.remote_id[:80], "url": done.url[:2048]}
        with self.database.writing() as connection:
            connection.execute(update(upload).where(same).values(values))

    def give_up(self, wish: UploadRecord) -> None:
        """Forget an upload that failed."""
        same = (upload.c.test_id == wish.test_id) & (upload.c.server == wish.server) & (upload.c.remote_id == "")
        with self.database.writing() as connection:
            connection.execute(delete(upload).where(same))

    def note_unknown(self, wish: UploadRecord) -> None:
        """Note that an upload got no answer, so that its result may be there."""
        same = (upload.c.test_id == wish.test_id) & (upload.c.server == wish.server) & (upload.c.remote_id == "")
        with self.database.writing() as connection:
            connection.execute(update(upload).where(same).values(uploaded_at=0.0))

    def is_unknown(self, test_id: int, server: str) -> bool:
        """Return whether a result may be at a server, because an upload got no answer."""
        same = (upload.c.test_id == test_id) & (upload.c.server == server) & (upload.c.remote_id == "")
        is_over = upload.c.uploaded_at <= self.clock() - PENDING_SECONDS
        with self.database.reading() as connection:
            return connection.execute(select(upload.c.test_id).where(same, is_over)).first() is not None

    def of(self, test_id: int) -> list[UploadRecord]:
        """Return where the result of a run was uploaded to."""
        question = select(upload).where(upload.c.test_id == test_id, upload.c.remote_id != "")
        with self.database.reading() as connection:
            return [UploadRecord(**row) for row in connection.execute(question).mappings().all()]

    def set_key(self, user_id: int, key: StoredKey) -> None:
        """Keep a user's upload key, sealed; it takes the place of a former one."""
        sealed = self.secrets.seal({"upload": {"pem": key.pem, "openid": key.openid}})
        row = {"user_id": user_id, "sealed": sealed, "public": key.public, "created_at": self.clock()}
        with self.database.writing() as connection:
            connection.execute(delete(upload_key).where(upload_key.c.user_id == user_id))
            connection.execute(insert(upload_key).values(row))

    def key(self, user_id: int) -> StoredKey | None:
        """Return a user's upload key; None: there is none."""
        with self.database.reading() as connection:
            question = select(upload_key).where(upload_key.c.user_id == user_id)
            row = connection.execute(question).mappings().first()
        if row is None:
            return None
        opened = self.secrets.open(row["sealed"])["upload"]
        return StoredKey(opened["pem"], row["public"], opened["openid"])

    def delete_key(self, user_id: int) -> None:
        """Remove a user's upload key."""
        with self.database.writing() as connection:
            connection.execute(delete(upload_key).where(upload_key.c.user_id == user_id))
