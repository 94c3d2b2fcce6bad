"""From where users have logged in; on a server also the counters of limits, which SQLite has in a file of their own."""

import sqlalchemy as sa
from alembic import op

revision = "v0003_limits"
down_revision = "v0002_scopes"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "known_places",
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
    )
    if op.get_bind().dialect.name != "sqlite":
        op.create_table(
            "counters",
            sa.Column("key", sa.String(32), primary_key=True),
            sa.Column("used", sa.BigInteger, nullable=False),
            sa.Column("at", sa.Double, nullable=False),
            sa.Column("until", sa.Double, nullable=False),
        )
