"""Whose a task is, and who else may see it, cancel it, or answer what its agent asks."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from cell0gw.auth.permissions import Permissions
from cell0gw.auth.sight import SEE, Sight
from cell0gw.protocol.subjects import covers
from cell0gw.tasks.steps import unknown_task
from cell0gw.tasks.store import FoundTask
from cell0gw.tasks.task import NewEvent, Task

_NAMING: Final = ("from", "to")
"""The members of a question, or an answer, that name somebody."""

_decode: Final = msgspec.json.Decoder(dict[str, Raw]).decode

CREATE: Final = "task.create"

READ: Final = "task.read"
"""The permission to see what another entity has created, C{task.read:<entity>}."""

MANAGE: Final = "task.manage"
"""The permission to cancel what another entity has created, and to answer in its place, C{task.manage:<entity>}."""


def sees(task: Task, entity_id: str, permissions: Permissions, more: str) -> bool:
    """Whether a task is for an entity to see: its own, or by a permission."""
    own = entity_id in (task.creator, task.worker) or is_asked(task, entity_id)
    return own or reaches(entity_id, permissions, more, task.creator)


def is_asked(task: Task, entity_id: str) -> bool:
    """Whether the agent that has a task asks an entity something. Nobody is asked by itself."""
    return task.asked is not None and entity_id != task.worker and covers(task.asked, entity_id)


def reaches(entity_id: str, permissions: Permissions, method: str, creator: str) -> bool:
    """Whether a permission is for a creator of tasks, and the creator for its bearer to know."""
    return permissions.allow_on(method, creator) and permissions.sight.of(entity_id).knows(method, creator)


def named(event: NewEvent, creator: str, entity_id: str, sight: Sight) -> bytes:
    """The data of an event for somebody who sees the task: questions and answers without whom it does not see.

    @param creator: who has created the task, as all know who see it.
    """
    if event.type != "message":
        return event.data
    said: dict[str, Raw] = _decode(event.data)
    for member in _NAMING:
        if member in said:
            name = msgspec.json.decode(said[member], type=str)
            if name != creator and not covers(name, entity_id) and not sight.of(entity_id).knows(SEE, name):
                del said[member]
    return msgspec.json.encode(said)


def seen(found: FoundTask | None, entity_id: str, permissions: Permissions, more: str) -> FoundTask:
    """A task, if there is one and it is for an entity to see.

    @raise NotFound: it is not; which of the two is nobody's business.
    """
    if found is None or not sees(found.task, entity_id, permissions, more):
        raise unknown_task()
    return found


def check_creator(found: FoundTask, entity_id: str, permissions: Permissions) -> FoundTask:
    """Whether an entity may do with a task as its creator may.

    @raise NotFound: it may not.
    """
    if entity_id != found.task.creator and not reaches(entity_id, permissions, MANAGE, found.task.creator):
        raise unknown_task()
    return found


def check_asked(found: FoundTask, entity_id: str, permissions: Permissions) -> FoundTask:
    """Whether an entity may answer what the agent asks that has a task.

    @raise NotFound: it may not.
    """
    return found if is_asked(found.task, entity_id) else check_creator(found, entity_id, permissions)
