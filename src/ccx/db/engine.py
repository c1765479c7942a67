"""Connections to the metadata database."""

from __future__ import annotations

from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

SessionFactory = async_sessionmaker[AsyncSession]

# A firewall that drops packets, or a server that is gone without a word, would else hold every request for minutes:
# seconds to connect, milliseconds until data must be acknowledged, and when a silent server is asked whether it lives.
_LIMITS = {
    "connect_timeout": "10", "tcp_user_timeout": "10000",
    "keepalives_idle": "5", "keepalives_interval": "2", "keepalives_count": "3",
}  # fmt: skip


def make_engine(dsn: str, *, pool_size: int = 5, max_overflow: int = 15) -> AsyncEngine:
    """An engine for ``postgresql+psycopg://…``. A connection that a restart broke is replaced, not handed out.

    What the DSN says of libpq's time limits holds; else a server that is silent is given up after some seconds.
    """
    url = make_url(dsn)
    return create_async_engine(
        url.update_query_dict({name: value for name, value in _LIMITS.items() if name not in url.query}),
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_pre_ping=True,
        pool_recycle=1800,
        # Parameters may be secrets, and errors end up in logs.
        hide_parameters=True,
    )


def make_session_factory(engine: AsyncEngine) -> SessionFactory:
    """Sessions whose objects stay readable after commit."""
    return async_sessionmaker(engine, expire_on_commit=False)
