"""Clients, refresh tokens and revoked tokens."""

import sqlalchemy as sa
from alembic import op

revision = "v0004_grants"
down_revision = "v0003_limits"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "clients",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("secret_changed_at", sa.BigInteger, nullable=False),
        sa.Column("scopes", sa.String(1000), nullable=False),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("family", sa.String(32), nullable=False, index=True),
        sa.Column("user_name", sa.String(64), nullable=False, index=True),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("scopes", sa.String(1000), nullable=False),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.Column("good_until", sa.BigInteger, nullable=False),
        sa.Column("family_ends_at", sa.BigInteger, nullable=False, index=True),
        sa.Column("used", sa.Boolean, nullable=False),
        sa.Column("access_id", sa.String(32), nullable=False),
        sa.Column("access_expires_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "revoked_tokens",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    )
