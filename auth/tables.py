"""The tables of the database, as the newest step of `auth/migrations` leaves them; counters are in `auth.counters`.

Times are Unix seconds: every database compares and adds them alike, and none of them has a time zone to lose.
"""

import sqlalchemy as sa

TABLES = sa.MetaData()
USERS = sa.Table(
    "users",
    TABLES,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("password_hash", sa.String(255), nullable=False),
    sa.Column("disabled", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("password_changed_at", sa.BigInteger, nullable=False),
    sa.Column("scopes", sa.String(1000), nullable=False),
)
CLIENTS = sa.Table(
    "clients",
    TABLES,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("secret_hash", sa.String(64), nullable=False),
    sa.Column("disabled", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("secret_changed_at", sa.BigInteger, nullable=False),
    sa.Column("scopes", sa.String(1000), nullable=False),
)
REFRESH_TOKENS = sa.Table(
    "refresh_tokens",
    TABLES,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("family", sa.String(32), nullable=False, index=True),
    sa.Column("user_name", sa.String(64), nullable=False, index=True),
    sa.Column("client", sa.String(64), nullable=False),
    sa.Column("scopes", sa.String(1000), nullable=False),
    sa.Column("began_at", sa.BigInteger, nullable=False),  # when the user logged in
    sa.Column("good_until", sa.BigInteger, nullable=False),
    sa.Column("family_ends_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("used", sa.Boolean, nullable=False),
    sa.Column("access_id", sa.String(32), nullable=False),  # of the access token that came with it
    sa.Column("access_expires_at", sa.BigInteger, nullable=False),
)
REVOKED = sa.Table(
    "revoked_tokens",
    TABLES,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)
PLACES = sa.Table(
    "known_places",
    TABLES,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
)
