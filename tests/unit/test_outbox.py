"""What can be reported: one event that can't be published would hold up all events behind it."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.ids import new_id
from ccx.stores import outbox
from ccx.stores.models import Outbox


def test_what_is_no_word_of_a_subject_is_never_written() -> None:
    tx, datastore = AsyncSession(), new_id()
    for what in ("restore undone", "restored.", "*", "", "undone\n"):
        with pytest.raises(ValueError, match="is no word of a subject"):
            outbox.emit(tx, datastore, what)
    outbox.emit(tx, datastore, "restore-undone")
    (event,) = tx.new
    assert isinstance(event, Outbox)
    assert event.subject == f"ccx.datastore.{datastore}.restore-undone"
