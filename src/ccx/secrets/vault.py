"""Keeps secrets in the metadata database, sealed. Every call joins the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.db import utc_now
from ccx.errors import NotFound
from ccx.ids import new_id
from ccx.secrets.keys import KeyRing
from ccx.secrets.model import Secret


class Vault:
    """Named secrets by scope (``datastore:<uuid>``)."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def put(self, tx: AsyncSession, scope: str, name: str, value: str) -> None:
        """Stores ``value``, in place of an earlier one."""
        row = self._row(scope, name, value)
        statement = insert(Secret).values(**row)
        changed = {
            column: statement.excluded[column] for column in ("key_version", "nonce", "ciphertext", "created_at")
        }
        await tx.execute(statement.on_conflict_do_update(index_elements=["scope", "name"], set_=changed))

    async def put_if_absent(self, tx: AsyncSession, scope: str, name: str, make: Callable[[], str]) -> str:
        """The stored value, or else what ``make`` returns, stored. Of callers side by side all get the same value."""
        existing = await self._find(tx, scope, name)
        if existing is not None:
            return existing
        value = make()
        statement = insert(Secret).values(**self._row(scope, name, value))
        # Waits for a transaction that is storing the same name, and finds its value should it commit.
        stored = await tx.execute(
            statement.on_conflict_do_nothing(index_elements=["scope", "name"]).returning(Secret.id)
        )
        return value if stored.first() is not None else await self.get(tx, scope, name)

    async def get(self, tx: AsyncSession, scope: str, name: str) -> str:
        """The value. Raises NotFound; Unsealable when its key is missing."""
        value = await self._find(tx, scope, name)
        if value is None:
            raise NotFound(f"there is no secret {name!r} of {scope}")
        return value

    async def get_all(self, tx: AsyncSession, scope: str) -> dict[str, str]:
        """All of a scope's values by name; empty where there are none."""
        columns = select(Secret.name, Secret.key_version, Secret.nonce, Secret.ciphertext)
        rows = await tx.execute(columns.where(Secret.scope == scope))
        return {name: self._open(scope, name, version, nonce, ciphertext) for name, version, nonce, ciphertext in rows}

    async def forget(self, tx: AsyncSession, scope: str, name: str | None = None) -> None:
        """Removes that secret, or all of the scope's. Succeeds where there are none."""
        which = Secret.scope == scope if name is None else (Secret.scope == scope) & (Secret.name == name)
        await tx.execute(delete(Secret).where(which))

    async def rewrap(self, tx: AsyncSession) -> int:
        """Seals with the newest key what an older one sealed; returns how many. After it, older keys may go."""
        columns = select(Secret.id, Secret.scope, Secret.name, Secret.key_version, Secret.nonce, Secret.ciphertext)
        stale = columns.where(Secret.key_version != self._keys.newest).order_by(Secret.id).with_for_update()
        count = 0
        for id_, scope, name, version, nonce, ciphertext in (await tx.execute(stale)).all():
            value = self._open(scope, name, version, nonce, ciphertext).encode()
            version, nonce, ciphertext = self._keys.seal(value, context=_context(scope, name))
            await tx.execute(
                update(Secret)
                .where(Secret.id == id_)
                .values(key_version=version, nonce=nonce, ciphertext=ciphertext)
                .execution_options(synchronize_session=False)
            )
            count += 1
        return count

    async def _find(self, tx: AsyncSession, scope: str, name: str) -> str | None:
        columns = select(Secret.key_version, Secret.nonce, Secret.ciphertext)
        row = (await tx.execute(columns.where(Secret.scope == scope, Secret.name == name))).first()
        return None if row is None else self._open(scope, name, *row)

    def _row(self, scope: str, name: str, value: str) -> dict[str, Any]:
        version, nonce, ciphertext = self._keys.seal(value.encode(), context=_context(scope, name))
        return {
            "id": new_id(), "scope": scope, "name": name, "key_version": version, "nonce": nonce,
            "ciphertext": ciphertext, "created_at": utc_now(),
        }  # fmt: skip

    def _open(self, scope: str, name: str, version: int, nonce: bytes, ciphertext: bytes) -> str:
        return self._keys.open(version, nonce, ciphertext, context=_context(scope, name)).decode()


def _context(scope: str, name: str) -> bytes:
    # The length keeps ("a", "b:c") and ("a:b", "c") apart.
    return f"ccx secret 1 {len(scope)}:{scope}:{name}".encode()
