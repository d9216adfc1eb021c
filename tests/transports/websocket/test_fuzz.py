"""What the fuzzer feeds the gateway, replayed; and that the fuzzer notices what it is for."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.__main__ import FINDING, feed
from tests.fuzz.findings import Finding, check, nothing_is_logged, spoken
from tests.fuzz.frames import COMPRESSED, Frames, Run, build, record
from tests.fuzz.handshake import REQUEST, Handshake, request
from tests.fuzz.keeping import keep
from tests.fuzz.oracle import judge
from tests.fuzz.targets import CORPUS, TARGETS, Feeder, read_inputs
from tests.transports.websocket.test_chunking import frame

PING = b'{"jsonrpc":"2.0","method":"rpc.ping","id":%b}'
PONG = b'{"jsonrpc":"2.0","result":"pong","id":%b}'
ERROR = b'{"jsonrpc":"2.0","error":{"code":%d,"message":"no"},"id":%b}'


class ReplayTests(SynchronousTestCase):
    """The corpus."""

    def replay(self, name: str) -> None:
        feeder = Feeder(name)
        self.addCleanup(feeder.renew)
        inputs = [*TARGETS[name].seeds.values(), *read_inputs([CORPUS / name]).values()]
        self.assertGreater(len(inputs), 10)
        for data in inputs:
            feeder(data)

    def test_handshake(self) -> None:
        """Whatever comes instead of a handshake is refused, or let in, or gone in time, however it is cut."""
        self.replay("handshake")

    def test_frames(self) -> None:
        """Whatever comes over an open connection, however it is cut, has one outcome, and keeps little."""
        self.replay("frames")

    def test_dispatcher(self) -> None:
        """Whatever peers say has the answers that JSON-RPC demands, and nothing is left of those that are gone."""
        self.replay("dispatcher")


class NoticingTests(SynchronousTestCase):
    """What does not hold is a finding."""

    def test_answers(self) -> None:
        """An answer is held to its message: right ones pass, all others are findings."""
        batch = b"[" + PING % b"1" + b"," + PING % b"2" + b"]"
        right: list[tuple[bytes, bytes | None]] = [
            (PING % b"1", PONG % b"1"), (PING % b'"a"', ERROR % (-32003, b'"a"')), (b"{", ERROR % (-32700, b"null")),
            (b"[]", ERROR % (-32600, b"null")), (batch, b"[" + PONG % b"1" + b"," + PONG % b"2" + b"]"),
            (b'{"jsonrpc":"2.0","method":"a"}', None), (b'{"result":1}', None), (b"1", ERROR % (-32600, b"null")),
            (b'["\\ud800"]', ERROR % (-32700, b"null")), (b"[" * 65 + b"]" * 65, ERROR % (-32700, b"null")),
        ]  # fmt: skip
        for message, answer in right:
            judge(message, answer, max_batch=2)
        wrong: list[tuple[bytes, bytes | None]] = [
            (PING % b"1", PONG % b"2"), (PING % b"1", None), (PING % b"1", ERROR % (-32603, b"1")),
            (PING % b"1", ERROR % (-32700, b"null")), (PING % b"1", ERROR % (-32600, b"1")), (b"{", None),
            (b"{", ERROR % (-32600, b"null")), (batch, b"[" + PONG % b"1" + b"]"), (batch, PONG % b"1"),
            (b'{"jsonrpc":"2.0","method":"a"}', PONG % b"null"), (b"[1,2,3]", b"[]"), (b"1", PONG % b"1"),
            (PING % b"1", b'{"jsonrpc":"2.0","id":1}'),
        ]  # fmt: skip
        for message, answer in wrong:
            self.assertRaises(Finding, judge, message, answer, 2)

    def test_log(self) -> None:
        """An error that is logged is a finding, and a warning is none."""

        def log(level: str) -> None:
            with nothing_is_logged():
                getattr(Logger(), level)("something")

        log("warn")
        self.assertRaises(Finding, log, "error")

    def test_frames_are_read(self) -> None:
        """What the gateway writes must be whole frames, and none after a close."""
        long = b"\x81\x7e\x01\x00" + b"x" * 256
        self.assertEqual(spoken(long + b"\x88\x00"), [(0x81, b"x" * 256), (0x88, b"")])
        for written in (long[:-1], b"\x88\x00\x81\x00", frame(b"masked")):
            self.assertRaises(Finding, spoken, written)

    def test_built(self) -> None:
        """Records become frames: of any first byte, masked or not, with a length written in any way."""
        self.assertEqual(build(record(0x81, b"{}")), frame(b"{}"))
        self.assertEqual(build(record(0x89, b"a", 4)), b"\x89\x01a")
        self.assertEqual(build(record(0x81, b"a", 2)), frame(b"a", length_bytes=2))
        self.assertEqual(build(b"\x81"), b"\x81")

    def test_other_outcome(self) -> None:
        """Another outcome for other cuts is a finding."""
        target = Frames()
        self.addCleanup(target.close)
        stream = bytes((COMPRESSED,)) + frame(b"{}")
        target.run(stream)
        self.patch(Run, "dispatch", lambda run, caller, payload: b"%d" % len(target.runs))
        self.assertRaises(Finding, target.run, stream)

    def test_left_behind(self) -> None:
        """A finding knows all that the same gateway was given, and a new one starts with nothing."""
        feeder = Feeder("dispatcher")
        self.addCleanup(feeder.renew)
        feeder(b"0{")
        self.patch(feeder._target, "run", self.fail)
        self.assertRaises(AssertionError, feeder, b"1{")
        self.assertEqual(feeder.inputs, [b"0{", b"1{"])
        feeder.renew()
        self.assertEqual(feeder.inputs, [])


class CommandTests(SynchronousTestCase):
    """C{python -m tests.fuzz}, where it does not fuzz."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.printed = io.StringIO()

    def write(self, name: str, *inputs: bytes) -> Path:
        folder = self.folder / name / "handshake"
        folder.mkdir(parents=True)
        for number, data in enumerate(inputs):
            (folder / str(number)).write_bytes(data)
        return folder

    def feed(self, *inputs: bytes) -> int:
        path = self.write("inputs", *inputs)
        with redirect_stdout(self.printed), redirect_stderr(self.printed):
            return feed("handshake", [path])

    def test_nothing_found(self) -> None:
        """Inputs that lead to nothing are counted."""
        self.assertEqual(self.feed(b"", b"GET"), 0)
        self.assertEqual(self.printed.getvalue(), "2 inputs, no finding\n")

    def test_found(self) -> None:
        """An input that leads to a finding ends the command, and is named."""
        self.patch(Handshake, "run", lambda target, data: check(data != b"bad", "bad"))
        self.assertEqual(self.feed(b"good", b"bad", b"good"), FINDING)
        self.assertIn("handshake/1: a finding, after 1 inputs", self.printed.getvalue())

    def test_keep(self) -> None:
        """Of the inputs that reach more than the corpus does the smallest is kept, and that once."""
        corpus = self.write("corpus", b"G").parent
        short, long = (request(*more, first=b"POST / HTTP/1.1") for more in ((), (b"X: y",)))
        found = self.write("found", long, short, b"GE")
        self.patch(Handshake, "seeds", {"plain": REQUEST})
        self.assertEqual(keep("handshake", found, corpus), 1)
        (kept,) = set((corpus / "handshake").iterdir()) - {corpus / "handshake/0"}
        self.assertEqual(kept.read_bytes(), short)
        self.assertEqual(keep("handshake", found, corpus), 0)
