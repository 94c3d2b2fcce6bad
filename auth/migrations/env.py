"""Alembic's way in: it runs this file, and the steps that are due, on the connection that `auth.schema` opened."""

from alembic import context

# The transaction is the caller's: it holds the lock that keeps other processes waiting.
context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
