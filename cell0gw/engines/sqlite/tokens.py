"""Tokens, and invites, in a L{Database}."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cell0gw.auth.store import ITokenStore
from cell0gw.auth.tokens import Invite, TokenRecord
from cell0gw.engines.sqlite.database import Database


@implementer(ITokenStore)
class SQLiteTokenStore:
    """Token records and invites in a L{Database}."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> list[TokenRecord]:
        """See L{ITokenStore}."""
        columns = ", ".join(TokenRecord.__struct_fields__)
        rows = self._database.read(f"SELECT {columns} FROM tokens")
        return [_record(dict(zip(TokenRecord.__struct_fields__, row, strict=True))) for row in rows]

    def add(self, record: TokenRecord) -> Deferred[None]:
        """See L{ITokenStore}."""
        return self._write(*_inserted("tokens", record))

    def revoke(self, token_ids: list[str]) -> Deferred[None]:
        """See L{ITokenStore}."""
        return self._write("UPDATE tokens SET revoked = 1 WHERE token_id = ?", [(name,) for name in token_ids])

    def remove(self, token_ids: list[str]) -> Deferred[None]:
        """See L{ITokenStore}."""

        def remove(connection: sqlite3.Connection) -> None:
            for token_id in token_ids:
                gone = "DELETE FROM tokens WHERE token_id = ? RETURNING renewed_from, token_id"
                for handed_down in connection.execute(gone, (token_id,)).fetchall():
                    connection.execute("UPDATE tokens SET renewed_from = ? WHERE renewed_from = ?", handed_down)

        return self._database.write(remove)

    def load_invites(self) -> list[Invite]:
        """See L{ITokenStore}."""
        columns = ", ".join(Invite.__struct_fields__)
        rows = self._database.read(f"SELECT {columns} FROM invites")
        return [_invite(dict(zip(Invite.__struct_fields__, row, strict=True))) for row in rows]

    def invite(self, invite: Invite) -> Deferred[None]:
        """See L{ITokenStore}."""
        return self._write(*_inserted("invites", invite))

    def redeem(self, invite_id: str, record: TokenRecord) -> Deferred[None]:
        """See L{ITokenStore}."""

        def redeem(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM invites WHERE invite_id = ?", (invite_id,))
            connection.executemany(*_inserted("tokens", record))

        return self._database.write(redeem)

    def remove_invites(self, invite_ids: list[str]) -> Deferred[None]:
        """See L{ITokenStore}."""
        return self._write("DELETE FROM invites WHERE invite_id = ?", [(name,) for name in invite_ids])

    def _write(self, statement: str, rows: list[tuple[object, ...]]) -> Deferred[None]:
        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(statement, rows)

        return self._database.write(write)


def _inserted(table: str, kept: TokenRecord | Invite) -> tuple[str, list[tuple[object, ...]]]:
    """The statement that inserts something into a table, and its values."""
    row = msgspec.structs.asdict(kept)
    row["permissions"] = msgspec.json.encode(kept.permissions).decode()
    names, places = ", ".join(row), ", ".join("?" * len(row))
    return f"INSERT INTO {table} ({names}) VALUES ({places})", [tuple(row.values())]


def _record(row: dict[str, Any]) -> TokenRecord:
    row["permissions"] = tuple(msgspec.json.decode(row["permissions"]))
    row["revoked"] = bool(row["revoked"])
    return TokenRecord(**row)


def _invite(row: dict[str, Any]) -> Invite:
    permissions = msgspec.json.decode(row["permissions"])
    row["permissions"] = None if permissions is None else tuple(permissions)
    return Invite(**row)
