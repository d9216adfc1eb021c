"""The sockets of connections, which write little and often at little cost."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure

from cell0gw.protocol.limits import Limits
from cell0gw.protocol.messages import Batch
from cell0gw.transports.frames import frames_of, join
from cell0gw.transports.sockets.backlog import NOTED, Progress, Waiting, in_kernel


class PlainTransport(tcp.Server):
    """A connection's socket on whatever reactor there is.

    @ivar limits: C{outbound_limit}, see L{Waiting}; None: any amount may wait for the peer to read.
    @ivar taken: bytes that the kernel took off the fast path, ever since the connection was made.
    @ivar waits_since: when it left the fast path last, in seconds of the reactor's clock.
    @ivar at_work: whether it is served at once in a connection burst, see L{Poller}.
    @ivar client_address: of whom a proxy has said by the PROXY protocol that it connects for; None: of nobody.
    @ivar relay: that proxy, as a host and a port with a colon between them; None: there is none.
    """

    limits: Limits | None = None
    taken = 0
    waits_since = 0.0
    at_work = False
    client_address: Any = None
    relay: str | None = None
    _waiting: Waiting | None = None
    _progress: Progress | None = None

    def getPeer(self) -> Any:
        """See L{ITransport}; who is behind a proxy, where that is known."""
        return super().getPeer() if self.client_address is None else self.client_address

    def goes_to_work(self) -> None:
        """Called when the connection is authenticated."""
        self.at_work = True

    def watch_backlog(self, limits: Limits | None) -> None:
        """Let the protocol know by its C{fall_behind}, once, when it writes what may not wait; that is dropped.

        @param limits: C{outbound_limit}, see L{Waiting}; None: from now on, any amount may wait.
        """
        self.limits = limits

    def write(self, data: bytes) -> None:
        """See L{ITransport}."""
        limits = self.limits
        if limits is not None:
            length = len(data)
            if (length >= NOTED or self.backlog + length > limits.outbound_limit) and not self._may_wait(length):
                return
        super().write(data)

    def writeSequence(self, iovec: Any) -> None:
        """See L{ITransport}. The parts are one message."""
        if self.limits is None or self._may_wait(sum(map(len, iovec))):
            super().writeSequence(iovec)

    def writeSomeData(self, data: bytes) -> Any:
        """See L{FileDescriptor.writeSomeData}."""
        sent = super().writeSomeData(data)
        if isinstance(sent, int) and sent > 0:
            self.taken += sent
        return sent

    def connectionLost(self, reason: Failure) -> None:
        """See L{IReadDescriptor}. A resumable session may be kept much longer than anybody needs what is here."""
        super().connectionLost(reason)
        self.dataBuffer, self.offset = b"", 0
        self._tempDataBuffer, self._tempDataLen = [], 0

    def try_to_send(self) -> None:
        """Let the kernel have as much as it takes: the peer may have read since it was asked last."""
        # What is to happen once all has left is the reactor's to do: nothing ends within a write.
        while self.backlog and not (self.disconnected or self.disconnecting or self._writeDisconnecting):
            taken = self.taken
            super().doWrite()
            if self.taken == taken:
                break

    def look(self, since: float = 0.0) -> float:
        """See L{Progress.look}."""
        if self._progress is None:
            self._progress = Progress()
        return self._progress.look(self, in_kernel(self.socket), since)

    def seconds(self) -> float:
        """What the reactor's clock says."""
        return float(self.reactor.seconds())  # type: ignore[attr-defined]

    @property
    def backlog(self) -> int:
        """Bytes that wait for the peer to read."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    @property
    def unsent(self) -> int:
        """The same; the fast path is not judged."""
        return self.backlog

    @property
    def stalled(self) -> bool:
        """See L{Waiting.stalls}."""
        if self._waiting is None:
            self._waiting = Waiting()
        return self._waiting.stalls(self)

    def _may_wait(self, length: int) -> bool:
        """Whether one more message may wait; if not, the protocol knows now."""
        if self._waiting is None:
            self._waiting = Waiting()
        if self._waiting.admits(self, length):
            return True
        self.limits = None
        self.protocol.fall_behind()  # type: ignore[attr-defined]
        return False


class GatewayTransport(PlainTransport):
    """A connection's socket, on a L{Poller}.

    What is written is gathered until the pass ends and leaves with one C{send}. That fast path is for connections that
    are plain: no TLS, no producer, not about to close, nothing left over from before. All else is Twisted's.

    @ivar outgoing: what was written in this pass, bytes and batches; None off the fast path.
    """

    outgoing: list[Any] | None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.outgoing = []

    @property
    def backlog(self) -> int:
        """See L{PlainTransport}; what was written in this pass does not wait yet."""
        return 0 if self.outgoing is not None else super().backlog

    def write(self, data: bytes) -> None:
        """See L{ITransport}."""
        outgoing = self.outgoing
        if outgoing is None:
            super().write(data)
            return
        if not outgoing:
            self.reactor.addWriter(self)
        elif outgoing[-1].__class__ is Batch:
            outgoing[-1].open = False
        outgoing.append(data)

    def share(self, batch: Batch) -> bool:
        """Write a batch to which more may be added before it leaves.

        @return: False if this can't be done here: each message must be written.
        """
        outgoing = self.outgoing
        if outgoing is None:
            return False
        if not outgoing:
            self.reactor.addWriter(self)
        elif outgoing[-1].__class__ is Batch:
            outgoing[-1].open = False
        outgoing.append(batch)
        return True

    def doRead(self) -> Any:
        """See L{IReadDescriptor}."""
        try:
            data = self.socket.recv(self.bufferSize)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def doWrite(self) -> Any:
        """See L{IWriteDescriptor}. Nothing to do once all is sent: a poller only asks those with more to send."""
        outgoing = self.outgoing
        if not outgoing:
            return self._do_write()
        data = join(outgoing)
        try:
            sent = self.socket.send(data)
        except OSError:
            self._leave_fast_path()
            return super().doWrite()  # which knows what each error means
        if sent == len(data):
            outgoing.clear()
        else:
            self._begin_to_wait(outgoing)
            self.outgoing = None
            self.dataBuffer, self.offset = data, sent
            self.taken += sent
        return None

    def writeSequence(self, iovec: Any) -> None:
        """See L{ITransport}."""
        if self.outgoing is None:
            super().writeSequence(iovec)
            return
        first, *others = iovec
        self.write(first)
        self.outgoing += others

    def loseConnection(self, *arguments: Any) -> None:
        """See L{ITransport}."""
        self._leave_fast_path()
        super().loseConnection(*arguments)

    def loseWriteConnection(self) -> None:
        """See L{IHalfCloseableDescriptor}."""
        self._leave_fast_path()
        super().loseWriteConnection()

    def abortConnection(self) -> None:
        """See L{ITCPTransport}."""
        self._leave_fast_path()
        super().abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See L{IConsumer}."""
        self._leave_fast_path()
        super().registerProducer(producer, streaming)

    def startTLS(self, *arguments: Any) -> None:
        """See L{ITLSTransport}."""
        self._leave_fast_path()
        super().startTLS(*arguments)

    def connectionLost(self, reason: Failure) -> None:
        """See L{IReadDescriptor}."""
        self._leave_fast_path()
        super().connectionLost(reason)

    def _leave_fast_path(self) -> None:
        """Give to Twisted what waits."""
        outgoing, self.outgoing = self.outgoing, None
        if outgoing:
            self._begin_to_wait(outgoing)
            data = join(outgoing)
            self._tempDataBuffer.append(data)
            self._tempDataLen += len(data)

    def _begin_to_wait(self, parts: list[Any]) -> None:
        """What was written in this pass leaves the fast path, on which nothing is judged: note the long messages."""
        self.waits_since = self.seconds()
        if self.limits is None:
            return
        waiting, end = Waiting(), self.taken
        for part in parts:
            length = len(frames_of(part)) if part.__class__ is Batch else len(part)
            end += length
            if length >= NOTED and (part.__class__ is not Batch or part.long is not None):
                waiting.note(end, length)
        self._waiting = waiting

    def _do_write(self) -> Any:
        """Twisted's way; then, if nothing is left that needs it, the fast path is open again."""
        why = super().doWrite()
        if why is None and not (
            self.dataBuffer
            or self._tempDataLen
            or self.disconnecting
            or self.disconnected
            or self._writeDisconnecting
            or self._writeDisconnected
            or self.producer is not None
            or self.TLS
        ):
            self.outgoing = []
        return why
