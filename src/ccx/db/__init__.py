"""The metadata database: engine, session, base model; one Alembic environment. Each package owns a schema."""

from ccx.db.base import Base, utc_now
from ccx.db.engine import SessionFactory, make_engine, make_session_factory

__all__ = ["Base", "SessionFactory", "make_engine", "make_session_factory", "utc_now"]
