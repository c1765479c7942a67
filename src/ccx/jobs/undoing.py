"""Taking steps back: each undo action is a step of its own, so that it too survives its runner."""

from __future__ import annotations

from ccx.db import SessionFactory
from ccx.jobs.attempt import attempt, explain
from ccx.jobs.control import TryAgain
from ccx.jobs.ledger import Ledger, encode
from ccx.jobs.memory import Memory, TransactionBody, Undo
from ccx.jobs.models import StepState

UNDO_TIMEOUT_S = 300.0


async def take_back(ledger: Ledger, memory: Memory, sessions: SessionFactory, undo: Undo) -> None:
    """Run the undo action, and mark the step that it takes back. Raises :class:`TryAgain` if it fails."""
    name = f"undo: {undo.of}"
    number = memory.number(name)
    age_s = 0.0
    try:
        if undo.body:
            await _in_transaction(ledger, sessions, name, number, undo.of, undo.body)
        elif undo.action:
            begun = await ledger.begin(name, number, undoable=False)
            age_s = float(begun["age_s"])
            result, _ = await attempt(ledger, name, begun["attempts"], undo.action, UNDO_TIMEOUT_S)
            await ledger.finish_undo(name, undo.of, result)
    except Exception as exc:
        error = explain(exc, ledger.record.id, ledger.record.token or 0, name)
        await ledger.tried(name, number, error)
        raise TryAgain(error, age_s=age_s) from exc


async def _in_transaction(
    ledger: Ledger, sessions: SessionFactory, name: str, number: int, of: str, body: TransactionBody
) -> None:
    async with sessions.begin() as tx:
        earlier = await ledger.lock(tx, name)
        if earlier and earlier.state is StepState.DONE:
            return
        result = encode(await body(tx))
        await tx.flush()
        await ledger.record_step(tx, name, number, undoable=False, result=result)
        await ledger.mark_undone(tx, of)
    await ledger.committed(name)
