"""Users get scopes; those who were there keep what they could do."""

import sqlalchemy as sa
from alembic import op

revision = "v0002_scopes"
down_revision = "v0001_users"
UNTIL_NOW = "backtest forecast metrics models:read"


def upgrade() -> None:
    """Add the column."""
    op.add_column("users", sa.Column("scopes", sa.String(1000), nullable=False, server_default=""))
    users = sa.table("users", sa.column("scopes", sa.String))
    op.execute(users.update().values(scopes=UNTIL_NOW))
