"""Work that reaches an agent by JetStream: a stream that is a work queue, and a durable consumer that pulls from it."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from nats.errors import TimeoutError as NothingCame
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from tests.comparison.facts import Learned, Letter, gathered
from tests.comparison.jetstream.server import LOOP, Connection

READER: Final = "a stream that keeps the events of consumers, and a reader of it that knows which are its own"
RESULTS_KEPT: Final = "a stream of results, under ids that keep them from being there twice"
EVENTS: Final = ["$JS.EVENT.ADVISORY.CONSUMER.>", "$JS.EVENT.METRIC.CONSUMER.>"]
RESULTS: Final = "results"


def stream(name: str, subjects: list[str], queue: bool = True) -> StreamConfig:
    """A stream on disk."""
    retention = RetentionPolicy.WORK_QUEUE if queue else RetentionPolicy.LIMITS
    return StreamConfig(name=name, subjects=subjects, retention=retention, storage=StorageType.FILE)


class QueueSender:
    """Publishes to the stream, and reads what has become of it: from results, and from events of consumers."""

    def __init__(self, desk: Queue) -> None:
        self._desk = desk
        self._texts: dict[int, str] = {}
        self.come_back()

    def come_back(self, desk: Queue | None = None) -> None:
        """Be there again."""
        self._desk = desk or self._desk
        self._connection = Connection(self._desk.port, "sender")

    def leave(self) -> None:
        """Go away."""
        self._connection.close()

    def send(self, text: str, key: str | None = None) -> str:
        """Publish a text for the worker."""
        js, desk = self._connection.stream, self._desk
        ack = LOOP.run(js.publish(desk.subject, text.encode(), headers={"Nats-Msg-Id": key or text}))
        self._texts[ack.seq] = text
        return f"`PubAck`, `stream` `{ack.stream}`" + (", `duplicate` `true`" if ack.duplicate else "")

    def learned(self, ends: int) -> list[Learned]:
        """What two streams that were made for it say."""
        js, places = self._connection.stream, {RESULTS: 1, "events": 1}

        def poll(seconds: float) -> Learned | None:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                for name, place in places.items():
                    try:
                        message = LOOP.run(js.get_msg(name, seq=place, subject=">", next=True))
                    except NotFoundError:
                        continue
                    places[name] = (message.seq or place) + 1
                    if (one := self._read(name, message.data or b"", message.subject or "")) is not None:
                        return one
                time.sleep(0.05)
            return None

        return gathered(poll, ends)

    def _read(self, name: str, data: bytes, subject: str) -> Learned | None:
        if name == RESULTS:
            stream_name, _, seq = subject.removeprefix("results.").partition(".")
            text = self._texts.get(int(seq)) if stream_name == self._desk.name else None
            return None if text is None else Learned(text, "the result", True)
        event = json.loads(data)
        text = self._texts.get(event.get("stream_seq")) if event["stream"] == self._desk.name else None
        if text is None:
            return None
        kind = event["type"].rpartition(".")[2]
        end = kind == "max_deliver" or not self._desk.results
        self._desk.built[
            "a stream that keeps the events of consumers, and a reader of it that knows which are its own"
        ] = None
        return Learned(text, f"the event `{kind}`, `deliveries` {event['deliveries']}", end)


class QueueReceiver:
    """Pulls messages one at a time, and acknowledges each."""

    def __init__(self, desk: Queue) -> None:
        self._desk = desk
        self._connection = Connection(desk.port, "worker")
        self._pull = LOOP.run(self._connection.stream.pull_subscribe_bind(consumer="worker", stream=desk.name))

    def take(self, seconds: float) -> Letter | None:
        """The next message."""
        try:
            (message,) = LOOP.run(self._pull.fetch(1, timeout=max(seconds, 0.1)))
        except NothingCame:
            return None
        data = message.metadata
        return Letter(message.data.decode(), data.num_delivered or 0, [message.reply, data.sequence.stream])

    def working(self, letter: Letter) -> None:
        """Say that the work goes on: C{Msg.in_progress} by its subject, so that another connection can."""
        LOOP.run(self._connection.client.publish(letter.handle[0], b"+WPI"))
        LOOP.run(self._connection.client.flush())

    def done(self, letter: Letter) -> str:
        """Bring the result, and acknowledge with an answer, as C{Msg.ack_sync} does."""
        reply, seq = letter.handle
        if self._desk.results:
            self._desk.built[RESULTS_KEPT] = None
            subject = f"results.{self._desk.name}.{seq}"
            LOOP.run(self._connection.stream.publish(subject, b"guten Morgen", headers={"Nats-Msg-Id": subject}))
        LOOP.run(self._connection.client.request(reply, b"+ACK", timeout=5))
        return "the acknowledgement is answered"

    def leave(self) -> None:
        """Go away."""
        self._connection.close()


class Queue:
    """A stream with one consumer, which is C{worker}.

    @param wait: C{ack_wait} in seconds.
    @param max_deliver: how often a message is delivered at most.
    @param results: whether the worker publishes a result of each.
    @ivar built: what was needed beyond what there is.
    """

    def __init__(self, port: int, name: str, wait: float, max_deliver: int, results: bool) -> None:
        self.port, self.name, self.results = port, name, results
        self._wait, self._max_deliver = wait, max_deliver
        self.subject = f"{name}.worker"
        self.built: dict[str, None] = {}

    def params(self) -> dict[str, Any]:
        """What makes the same desk in another process."""
        return {
            "port": self.port, "name": self.name, "wait": self._wait, "max_deliver": self._max_deliver,
            "results": self.results,
        }  # fmt: skip

    def make(self, connection: Connection) -> None:
        """Make the consumer, or change it."""
        LOOP.run(
            connection.stream.add_consumer(
                self.name,
                ConsumerConfig(
                    durable_name="worker",
                    deliver_policy=DeliverPolicy.ALL,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=self._wait,
                    max_deliver=self._max_deliver,
                    filter_subject=self.subject,
                    sample_freq="100",
                ),
            )
        )

    def sender(self) -> QueueSender:
        """A sender that is connected."""
        return QueueSender(self)

    def receiver(self) -> QueueReceiver:
        """A session of the worker that is connected."""
        return QueueReceiver(self)
