"""PostgreSQL: the pool, and the migrations."""

from slipway.db.pool import Connection, Database

__all__ = ["Connection", "Database"]
