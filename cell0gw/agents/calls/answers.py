"""What callers and agents are answered that say something of a call."""

from __future__ import annotations

import msgspec


class CallCancelled(msgspec.Struct, frozen=True):
    """The call was cancelled. The call itself fails with the error -32009.

    - `success`: true
    """

    success: bool = True


class Progressed(msgspec.Struct, frozen=True):
    """The call was looked for.

    - `success`: whether the call is still open; false: it is over, or of another session
    """

    success: bool
