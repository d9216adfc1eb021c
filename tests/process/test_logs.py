"""Log observers: what stands in a line, whatever is in the event."""

import json
from io import StringIO
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.process.logs import FIELDS, GatewayLog, JSONObserver, TextObserver, Threshold
from cell0gw.protocol.errors import CloseCode

MOMENT = 1_770_892_200.25
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)


def event(**members: Any) -> dict[str, Any]:
    known = {"log_time": MOMENT, "log_level": LogLevel.info, "log_namespace": "cell0gw.test", "log_format": "hello"}
    return {**known, **members}


def failure(message: str) -> Failure:
    try:
        raise ValueError(message)
    except ValueError:
        return Failure()


class Unprintable:
    """An object that fails to describe itself."""

    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


# Events whose message needs care: (what is in the event, a word of the message).
HARD = (
    ({"log_format": "{a} {b}", "a": "one\ntwo", "b": "\x1b[31mred"}, r"one\ntwo \x1b[31mred"),
    ({"log_format": "{a}", "a": "\ud800\u2028\x00"}, r"\ud800\u2028\x00"),
    ({"log_format": "{a}", "a": 12.5}, "12.5"),
    ({"log_format": "{a}", "a": b"\xff"}, r"b'\xff'"),
    ({"log_format": "{a}", "a": Unprintable()}, "unformattable"),
    ({"log_format": "{missing}"}, "Unable to format"),
    ({"log_format": "{a.b}", "a": 1}, "Unable to format"),
    ({"log_format": "{"}, "Unable to format"),
    ({"log_format": 5}, "Unable to format"),
    ({"log_format": "{a()}", "a": lambda: "called"}, "called"),
    ({"log_format": "{a!r:>12} {b[x]}", "a": "it", "b": {"x": 7}}, "        'it' 7"),
    ({"log_format": b"{a}", "a": "bytes"}, "bytes"),
    ({"log_format": "{a}", "a": "x" * 100_000}, "…(100000 characters)"),
)


class NowhereTests(SynchronousTestCase):
    """Where standard output is closed."""

    def test_closed(self) -> None:
        """Nothing is written, before and after the thread is started, and nothing fails."""
        log = GatewayLog("text", Threshold("info"), None)
        log(event())
        log.start()
        log(event())
        self.assertTrue(log.lines.stop(30.0))
        self.assertEqual(log.lines.dropped, 0)


class JSONTests(SynchronousTestCase):
    """L{JSONObserver}."""

    def line(self, **members: Any) -> dict[str, Any]:
        """What an event becomes; it is one line and one object."""
        stream = StringIO()
        JSONObserver(stream)(event(**members))
        text = stream.getvalue()
        self.assertTrue(text.endswith("\n"))
        self.assertEqual(len(text.splitlines()), 1, text)
        line = json.loads(text)
        self.assertIsInstance(line, dict)
        return line

    def test_members(self) -> None:
        """A line has its time, level, logger and message, and nothing that is not known."""
        self.assertEqual(
            self.line(log_format="{who} came", who="agent_001"),
            {
                "time": "2026-02-12T10:30:00.250Z",
                "level": "info",
                "logger": "cell0gw.test",
                "message": "agent_001 came",
            },
        )

    def test_known_fields(self) -> None:
        """What a line is about stands in members of their own, as text, so that one can search for it."""
        for name in FIELDS:
            self.assertEqual(self.line(**{name: "conn_1"})[name], "conn_1")
            self.assertEqual(self.line(**{name: 7})[name], "7")
            self.assertNotIn(name, self.line(**{name: None}))

    def test_documented_fields(self) -> None:
        """These are the fields that are known."""
        self.assertEqual(
            set(FIELDS),
            {
                "event", "connection_id", "entity_id", "session_id", "token_id", "method", "address", "peer", "proxy",
                "reason", "cause",
            },
        )  # fmt: skip

    def test_close_code(self) -> None:
        """A close code is a number, so that a pipeline can count by it."""
        self.assertEqual(self.line(code=CloseCode.TOKEN_ENDED)["code"], 4507)
        self.assertNotIn("code", self.line(code=None))

    def test_loggers(self) -> None:
        """A logger has a name that says something: lines of Twisted's own are its, and not the way they came by."""
        for namespace, logger in (
            ("cell0gw.sessions", "cell0gw.sessions"),
            ("log_legacy", "twisted"),
            ("twisted.scripts._twistd_unix.UnixAppLogger", "twisted.twistd"),
        ):
            self.assertEqual(self.line(log_namespace=namespace)["logger"], logger)

    def test_other_fields_stay_out(self) -> None:
        """Whatever else is in an event, a token for one, gets no member."""
        self.assertNotIn("secret", str(self.line(token="secret", log_source=object())))

    def test_traceback(self) -> None:
        """A failure brings its traceback, in the same line."""
        traceback = self.line(log_failure=failure("of\nmine"))["traceback"]
        self.assertIn("ValueError: of\nmine", traceback)
        self.assertIn("test_logs.py", traceback)
        self.assertGreater(len(traceback.splitlines()), 2)

    def test_hard_messages(self) -> None:
        """One object a line whatever the message is made of."""
        for members, word in HARD:
            self.assertIn(word, self.line(**members)["message"])

    def test_levels(self) -> None:
        """Each level has its name; an event without one is information."""
        for name in ("debug", "info", "warn", "error", "critical"):
            self.assertEqual(self.line(log_level=LogLevel.levelWithName(name))["level"], name)
        self.assertEqual(self.line(log_level=None)["level"], "info")

    def test_bare_event(self) -> None:
        """An event with nothing in it is a line, too."""
        stream = StringIO()
        JSONObserver(stream)({})
        self.assertEqual(json.loads(stream.getvalue())["message"], "")

    def test_hard_fields(self) -> None:
        """A field's control characters are escaped like a message's, and its length has a bound."""
        self.assertEqual(self.line(method="a\n\x1b[2J\x85\ud800")["method"], r"a\n\x1b[2J\x85\ud800")
        self.assertLess(len(self.line(method="x" * 100_000)["method"]), 300)

    @given(ANY_TEXT, ANY_TEXT)
    def test_any_text(self, text: str, error: str) -> None:
        """Whatever peers send into a message, a field or an error, the line is JSON on one line, fit for a terminal."""
        line = self.line(log_format="{a}", a=text, peer=text, log_failure=failure(error))
        for member in (line["message"], line["peer"], *line["traceback"].split("\n")):
            self.assertTrue(member.isprintable(), member)


class TextTests(SynchronousTestCase):
    """L{TextObserver}."""

    def text(self, **members: Any) -> str:
        stream = StringIO()
        TextObserver(stream)(event(**members))
        return stream.getvalue()

    def test_line(self) -> None:
        """A line has its time, its level and its message."""
        self.assertEqual(
            self.text(log_level=LogLevel.warn, log_format="{n} left", n=3),
            "2026-02-12T10:30:00.250Z [warn] 3 left\n",
        )

    def test_hard_messages(self) -> None:
        """One line, without control characters, whatever the message is made of."""
        for members, word in HARD:
            text = self.text(**members)
            self.assertIn(word, text)
            self.assertTrue(text.removesuffix("\n").isprintable(), text)

    def test_traceback(self) -> None:
        """A traceback stands below its line, indented, so that no peer's text can pass for a line of the log."""
        first, *rest = self.text(log_failure=failure("a\n2026 [info] forged\r\x1b[2Jb\u2028c")).splitlines()
        self.assertTrue(first.endswith("hello"))
        self.assertTrue(rest)
        for row in rest:
            self.assertTrue(row.startswith("    "), row)
            self.assertTrue(row.isprintable(), row)

    @given(ANY_TEXT, ANY_TEXT)
    def test_any_text(self, message: str, error: str) -> None:
        """Whatever peers send, every character is printable and every line is the log's own."""
        text = self.text(log_format="{a}", a=message, log_failure=failure(error))
        lines = text.split("\n")
        self.assertEqual(lines.pop(), "")
        for number, row in enumerate(lines):
            self.assertTrue(row.isprintable())
            self.assertTrue(row.startswith("    " if number else "2026-02-12T"))


class Flushed(StringIO):
    """A stream that remembers what had been flushed."""

    safe = ""

    def flush(self) -> None:
        self.safe = self.getvalue()


class ObserverTests(SynchronousTestCase):
    """L{observer}."""

    def log(self, log_format: str, log_level: str) -> str:
        stream = StringIO()
        log = Logger("cell0gw.test", observer=LogPublisher(GatewayLog(log_format, Threshold(log_level), stream)))
        for level in ("debug", "info", "warn", "error", "critical"):
            log.emit(LogLevel.levelWithName(level), "this is " + level)
        return stream.getvalue()

    def test_levels(self) -> None:
        """Each level lets itself and whatever is worse through."""
        levels = ["debug", "info", "warn", "error", "critical"]
        for log_format in ("text", "json"):
            for index, level in enumerate(levels):
                lines = self.log(log_format, level).splitlines()
                self.assertEqual([next(n for n in levels if f"this is {n}" in line) for line in lines], levels[index:])

    def test_another_level(self) -> None:
        """The level can be another one while the log is written."""
        stream, threshold = StringIO(), Threshold("error")
        log = Logger("cell0gw.test", observer=LogPublisher(GatewayLog("text", threshold, stream)))
        for level in ("error", "info", "warn"):
            threshold.set(level)
            log.info("at {name}", name=level)
        self.assertEqual([line.split()[-1] for line in stream.getvalue().splitlines()], ["info"])

    def test_formats(self) -> None:
        """The format chooses between text for people and JSON for pipelines."""
        self.assertEqual(json.loads(self.log("json", "critical"))["message"], "this is critical")
        self.assertIn("[critical] this is critical\n", self.log("text", "critical"))

    def test_interface(self) -> None:
        """All are log observers to Twisted."""
        for one in (
            TextObserver(StringIO()),
            JSONObserver(StringIO()),
            GatewayLog("text", Threshold("info"), StringIO()),
        ):
            self.assertTrue(verifyObject(ILogObserver, one))

    def test_flushed(self) -> None:
        """Each line is flushed, so that the last words before a crash are there."""
        for log_format in ("text", "json"):
            stream = Flushed()
            GatewayLog(log_format, Threshold("info"), stream)(event())
            self.assertIn("hello", stream.safe)


class SaidAlreadyTests(SynchronousTestCase):
    """What Twisted's ports write of where they listen."""

    def test_not_twice(self) -> None:
        """That a port starts is not written, since the gateway writes where it listens; what others start is."""
        stream = StringIO()
        write = GatewayLog("text", Threshold("info"), stream)
        for text in ("Gateway starting on 18801", "Gateway (TLS) starting on 18801", "Weather starting on 80", "hello"):
            write(event(log_namespace="log_legacy", log_format="{log_text}", log_text=text))
        write(event(log_format="{log_text}", log_text=b"Gateway starting on"))
        lines = [line.partition("] ")[2] for line in stream.getvalue().splitlines()]
        self.assertEqual(lines, ["Weather starting on 80", "hello", "b'Gateway starting on'"])


class SparingTests(SynchronousTestCase):
    """What Twisted's ports write for each socket that they have no descriptor for."""

    def test_once_a_second(self) -> None:
        """Of each line one a second passes; all else passes whenever it comes."""
        stream = StringIO()
        write = GatewayLog("text", Threshold("info"), stream)
        for moment in (MOMENT, MOMENT + 0.5, MOMENT + 0.9, MOMENT + 1.1):
            for text in ("EMFILE encountered", "EMFILE recovery: Closed socket from {peer}", "hello"):
                write(event(log_time=moment, log_format=text, peer="a"))
        lines = [line.partition("] ")[2] for line in stream.getvalue().splitlines()]
        counts = {text: lines.count(text) for text in lines}
        self.assertEqual(counts, {"EMFILE encountered": 2, "EMFILE recovery: Closed socket from a": 2, "hello": 4})
