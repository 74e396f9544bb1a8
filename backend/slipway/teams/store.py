"""Teams and memberships in PostgreSQL."""

import msgspec

from slipway.db import Connection
from slipway.teams.models import Role, Team

_TEAM = "teams.id, teams.name, teams.created_at"


async def find_first_team(connection: Connection) -> Team | None:
    row = await connection.fetchrow(f"SELECT {_TEAM} FROM teams ORDER BY id LIMIT 1")  # noqa: S608
    return msgspec.convert(dict(row), Team) if row else None


async def insert_team(connection: Connection, name: str) -> Team:
    row = await connection.fetchrow(f"INSERT INTO teams (name) VALUES ($1) RETURNING {_TEAM}", name)  # noqa: S608
    assert row is not None, "the statement gives a row"
    return msgspec.convert(dict(row), Team)


async def lock_teams(connection: Connection) -> None:
    """Only one at a time looks whether there is a team and makes the first."""
    await connection.execute("LOCK TABLE teams IN SHARE ROW EXCLUSIVE MODE")


async def put_membership(connection: Connection, team_id: int, account_id: int, role: Role) -> None:
    await connection.execute(
        """INSERT INTO memberships (team_id, account_id, role) VALUES ($1, $2, $3)
           ON CONFLICT (team_id, account_id) DO UPDATE SET role = EXCLUDED.role""",
        team_id, account_id, role.value,
    )  # fmt: skip


async def list_roles(connection: Connection, account_id: int) -> dict[int, Role]:
    rows = await connection.fetch("SELECT team_id, role FROM memberships WHERE account_id = $1", account_id)
    return {row["team_id"]: Role(row["role"]) for row in rows}


async def list_teams(connection: Connection, account_id: int | None) -> list[tuple[Team, Role]]:
    """The teams of an account with its role; None: all, as their owner."""
    if account_id is None:
        rows = await connection.fetch(f"SELECT {_TEAM}, 'owner' AS role FROM teams ORDER BY id")  # noqa: S608
    else:
        rows = await connection.fetch(
            f"""SELECT {_TEAM}, memberships.role FROM teams JOIN memberships ON memberships.team_id = teams.id
                WHERE memberships.account_id = $1 ORDER BY teams.id""",  # noqa: S608
            account_id,
        )
    return [(msgspec.convert(dict(row), Team), Role(row["role"])) for row in rows]
