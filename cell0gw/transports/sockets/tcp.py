"""The port, and its connections, which write little and often at little cost."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet import tcp
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure

from cell0gw.protocol.limits import Limits
from cell0gw.protocol.messages import Batch
from cell0gw.transports.frames import join
from cell0gw.transports.sockets.poller import BURST, Poller


class PlainTransport(tcp.Server):
    """A connection's socket on whatever reactor there is.

    @ivar limits: C{outbound_limit}: maximum bytes that wait for the peer to read; None: unlimited.
    @ivar at_work: whether it is served at once in a connection burst, see L{Poller}.
    """

    limits: Limits | None = None
    at_work = False

    def goes_to_work(self) -> None:
        """Called when the connection is authenticated."""
        self.at_work = True

    def watch_backlog(self, limits: Limits) -> None:
        """Let the protocol know by its C{fall_behind}, once, when more is to be written while more than
        C{limits.outbound_limit} waits already. However long it is, it is written: an empty buffer takes a frame of any
        length.
        """
        self.limits = limits

    def write(self, data: bytes) -> None:
        """See L{ITransport}."""
        if self.limits is not None and self.backlog > self.limits.outbound_limit:
            self._judge_backlog()
        super().write(data)

    def writeSequence(self, iovec: Any) -> None:
        """See L{ITransport}."""
        if self.limits is not None and self.backlog > self.limits.outbound_limit:
            self._judge_backlog()
        super().writeSequence(iovec)

    def connectionLost(self, reason: Failure) -> None:
        """See L{IReadDescriptor}. A resumable session may be kept much longer than anybody needs what is here."""
        super().connectionLost(reason)
        self.dataBuffer, self.offset = b"", 0
        self._tempDataBuffer, self._tempDataLen = [], 0

    def try_to_send(self) -> None:
        """Let the kernel have as much as it takes: the peer may have read since it was asked last."""
        if self.connected and not self.disconnected:
            self.doWrite()

    def _judge_backlog(self) -> None:
        self.try_to_send()
        limits = self.limits
        if limits is not None and self.backlog > limits.outbound_limit:
            self.limits = None
            self.protocol.fall_behind()  # type: ignore[attr-defined]

    @property
    def backlog(self) -> int:
        """Bytes that wait for the peer to read."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen


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
            self.outgoing = None
            self.dataBuffer, self.offset = data, sent
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
            data = join(outgoing)
            self._tempDataBuffer.append(data)
            self._tempDataLen += len(data)

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


class GatewayPort(tcp.Port):
    """Accepts connections and gives them to another reactor, see L{Poller}.

    @cvar on_poller: makes the transports of connections on a L{Poller}; C{elsewhere}: on any other reactor.
    @ivar connections_reactor: that one.
    """

    on_poller: ClassVar[type[tcp.Server]] = GatewayTransport
    elsewhere: ClassVar[type[tcp.Server]] = PlainTransport
    connections_reactor: Any

    def doRead(self) -> None:
        """See L{IReadDescriptor}. Of a connection burst a few are accepted at a time, as a L{Poller} serves them."""
        self.numberAccepts = min(self.numberAccepts, BURST)
        super().doRead()

    def transport(  # type: ignore[override]
        self, skt: Any, protocol: Any, address: Any, port: Any, number: int, reactor: Any
    ) -> tcp.Server:
        """Twisted's port looks up the class of its transports here."""
        kind = self.on_poller if isinstance(self.connections_reactor, Poller) else self.elsewhere
        return kind(skt, protocol, address, port, number, self.connections_reactor)
