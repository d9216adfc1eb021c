"""The end of tokens, and of all that came of them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cell0gw.auth.records import Records
from cell0gw.auth.store import ITokenStore
from cell0gw.process.failures import reported_already
from cell0gw.protocol.errors import NotFound
from cell0gw.protocol.printable import printable
from cell0gw.protocol.subjects import is_pattern
from cell0gw.protocol.suggestions import MOST


class Revocations:
    """Ends tokens.

    @param wall: the date, in seconds since the epoch.
    @ivar observers: each is called with the ids of those that are ended.
    """

    def __init__(self, records: Records, store: ITokenStore, wall: Callable[[], float]) -> None:
        self._records = records
        self._store = store
        self._wall = wall
        # What is still to be written to the store.
        self._unwritten: set[str] = set()
        self.observers: list[Callable[[list[str]], object]] = []

    def revoke(
        self,
        token_id: str | None = None,
        entity_id: str | None = None,
        reached: Callable[[str], bool] = lambda entity_id: True,
    ) -> tuple[list[str], Deferred[None]]:
        """End a token, or all tokens of an entity, and with each whatever it minted, and what it was renewed to.

        They open no session from now on.

        @param reached: whether an entity is one of whom the caller may know.
        @return: the ids that were ended, and a Deferred that fires once the store knows.
        @raise NotFound: no such token; the operator's own ends with the process, not by this.
        """
        one = None if token_id is None else self._records.get(token_id)
        todo = self._records.of_entity(entity_id or "") if one is None else [one]
        todo = [each for each in todo if reached(each.entity_id)]
        if not todo:
            raise self._none(token_id, entity_id, reached)
        ended: dict[str, None] = {}
        while todo:
            current = todo.pop()
            if current.token_id in ended:  # it is of the entity, say, and another one of the entity has minted it
                continue
            ended[current.token_id] = None
            todo.extend(self._records.children(current.token_id))
            self._records.keep(msgspec.structs.replace(current, revoked=True))
        token_ids = list(ended)
        for tell in self.observers:
            tell(token_ids)
        return token_ids, self._store.revoke(token_ids).addErrback(self._not_written, token_ids)

    def entity_of(self, token_id: str, known: Callable[[str], bool] = lambda entity_id: True) -> str:
        """Whom a token is for: an entity, or a pattern of many.

        @param known: whether an entity, or a pattern, is one of whom the caller may know.
        @raise NotFound: no such token.
        """
        record = self._records.get(token_id)
        if record is None or not known(record.entity_id):
            raise NotFound(f"No such token: {printable(token_id)}")
        return record.entity_id

    def _none(self, token_id: str | None, entity_id: str | None, reached: Callable[[str], bool]) -> NotFound:
        """The error for revoking what there is not."""
        if entity_id is None:
            return NotFound(f"No such token: {printable(token_id or '')}")
        if not is_pattern(entity_id):
            return NotFound(f"No token is for {printable(entity_id)}")
        shared = self._records.patterns_for(entity_id, self._wall())[:MOST]
        if shared:
            return NotFound(
                f"No token is for {entity_id} alone; it may use one for {shared[0]}, and revoking that ends it for all "
                "its bearers",
                shared=shared,
            )
        near = self._records.suggestions.near(
            entity_id, lambda name: bool(self._records.of_entity(name)) and reached(name)
        )
        return NotFound(f"No token is for {entity_id}", near=near)

    def write_again(self) -> None:
        """Give the store again what it could not write: a token that was revoked must not be good after a start."""
        if self._unwritten:
            ended, self._unwritten = list(self._unwritten), set()
            self._store.revoke(ended).addErrback(self._not_written, ended).addErrback(reported_already)

    def _not_written(self, failure: Failure, ended: list[str]) -> Failure:
        self._unwritten.update(ended)
        return failure
