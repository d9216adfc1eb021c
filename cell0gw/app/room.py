"""Room for connections, as far as the limit of open files goes: each is one."""

from __future__ import annotations

from typing import Final

import msgspec
from twisted.logger import Logger

from cell0gw.app.entrance import StartError
from cell0gw.config.options import SPARE_DESCRIPTORS, Config
from cell0gw.process.descriptors import open_file_limit

MIN_CONNECTIONS: Final = 32
"""Minimum connections that a gateway must have room for, unless it was asked for fewer."""

_RAISE: Final = "raise the limit of open files (ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= of Docker)"

_log = Logger()


def fitting(config: Config) -> Config:
    """The options with no more C{max_connections} than may be open; the log says when they had to be lowered.

    @raise StartError: there is room for so few that nobody would be served.
    """
    limit, asked = open_file_limit(), config.max_connections
    room = limit - SPARE_DESCRIPTORS
    least = min(MIN_CONNECTIONS, asked or MIN_CONNECTIONS)
    if room < least:
        raise StartError(f"{limit} open files are too few for {least} connections: {_RAISE} to {least + limit - room}")
    if asked is None or asked <= room:
        return config
    _log.warn(
        "max_connections is {room} instead of {asked}, since {limit} files may be open: {remedy} to {needed}",
        event="connections.lowered",
        room=room,
        asked=asked,
        limit=limit,
        remedy=_RAISE,
        needed=asked + limit - room,
    )
    return msgspec.structs.replace(config, max_connections=room)
