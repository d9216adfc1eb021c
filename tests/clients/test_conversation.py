"""What counts as a failure of a client."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from tests.clients.catalogue import CLIENTS
from tests.clients.conversation import Conversation, Outcome, Witness, expect
from tests.clients.peers import Peer
from tests.clients.place import Place


class Scripted:
    """A client that has printed these lines, and prints no more."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines

    def send(self, text: str) -> None:
        """See L{Peer}."""

    def kill(self) -> None:
        """See L{Peer}."""

    def wait_for(self, pattern: str) -> re.Match[str]:
        """See L{Peer}."""
        found = next((match for line in self.lines if (match := re.search(pattern, line))), None)
        if found is None:
            raise AssertionError("nothing came")
        return found


class ScriptedWitness:
    """Gives tokens, and knows no more."""

    def token(self, client: str) -> dict[str, str]:
        """See L{Witness}."""
        return {"token": "cell0_token", "token_id": "tok_1"}


def outcome(client: str, *lines: str) -> Outcome:
    """What comes of a client that prints these lines."""

    def connect(place: Place, served: bool) -> Peer:
        return Scripted(*lines)

    witness = cast(Witness, ScriptedWitness())
    scripted = CLIENTS[client]._replace(connect=connect)
    return Conversation(scripted, Place(1, None, None, Path()), witness).hold()


class ConversationTests(SynchronousTestCase):
    """Clients that don't do what they must."""

    def test_expect(self) -> None:
        """What comes after the end is not waited for."""
        peer = Scripted("open ", "message 4 abcd pong", "closed 1006 gone", "message 5 abcd later")
        self.assertEqual(expect(peer, "^message .*pong")[0], "message 4 abcd pong")
        self.assertEqual(expect(peer, r"^closed (\d+)")[1], "1006")
        failure = self.assertRaises(AssertionError, expect, peer, "later")
        self.assertEqual(str(failure), "closed 1006 gone")

    def test_refused(self) -> None:
        """A client that does not connect has failed at that, with what it says."""
        self.assertEqual(outcome("ws", "failed not 101"), Outcome("connect: failed not 101"))

    def test_uncompressed(self) -> None:
        """A client that can compress must have it agreed on."""
        self.assertEqual(outcome("ws", "open ").failed, "connect: compression was not agreed on")

    def test_refused_token(self) -> None:
        """An error is no answer to the authentication."""
        error = 'message 60 abcd {"jsonrpc":"2.0","error":{"code":-32001},"id":"authenticated"}'
        told = outcome("ws", "open permessage-deflate", error, "closed 4500 bad token")
        self.assertEqual(told, Outcome("authenticate: closed 4500 bad token", "permessage-deflate"))

    def test_silent(self) -> None:
        """A client that can only connect must see the welcome."""
        self.assertEqual(outcome("curl", "HTTP/1.1 101 Switching Protocols", "connection.welcome"), Outcome(""))
        self.assertEqual(outcome("curl", "HTTP/1.1 101 Switching Protocols").failed, "welcome: nothing came")
