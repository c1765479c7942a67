"""The metadata database: engine, session, base model. One Alembic environment; each package owns a schema of its own."""

from ccx.db.base import Base, utc_now
from ccx.db.engine import SessionFactory, make_engine, make_session_factory

__all__ = ["Base", "SessionFactory", "make_engine", "make_session_factory", "utc_now"]
