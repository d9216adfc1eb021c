"""What the programs in Python share: what they print, and whom they trust."""

from __future__ import annotations

import hashlib
import os
import ssl
from typing import Final

SHORT: Final = 2000
"""Maximum bytes of a message that is printed."""


def tell(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def tell_message(data: bytes) -> None:
    """A message has come.

    @param data: its text, in UTF-8.
    """
    text = data.decode() if len(data) < SHORT else ""
    tell(f"message {len(data)} {hashlib.sha256(data).hexdigest()} {text}")


def context() -> ssl.SSLContext | None:
    """What TLS is spoken with; None: it is not."""
    certificate, version = os.environ.get("CLIENT_CA"), os.environ.get("CLIENT_TLS")
    if certificate is None:
        return None
    made = ssl.create_default_context(cafile=certificate)
    if version is not None:
        made.minimum_version = made.maximum_version = ssl.TLSVersion["TLSv" + version.replace(".", "_")]
    return made
