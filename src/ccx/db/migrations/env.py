"""Alembic's entry point. It runs on the connection that :mod:`ccx.db.migrate` opened, inside its transaction."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
