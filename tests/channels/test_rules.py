"""The rules of channels: which one holds, and what an operator may write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.channels.rules import DEFAULT, DURABLE, ChannelRule, ChannelRules
from cell0gw.config.file import ConfigError
from cell0gw.config.options import load
from cell0gw.protocol.subjects import OWN_CHANNELS
from cell0gw.testing import MemoryGateway

HOME = {"XDG_STATE_HOME": "/var/home"}
DAY = 86400.0


class ChannelRulesTests(SynchronousTestCase):
    """Which rule holds for a channel."""

    def test_first_match_wins(self) -> None:
        """Of the rules that cover a channel the first one holds, as a whole: no other one adds to it."""
        rules = ChannelRules(
            [
                ChannelRule(pattern="tasks.urgent", history_size=1),
                ChannelRule(pattern="tasks.*", history_size=2, presence=False),
                ChannelRule(pattern="tasks.>", history_size=3, durable=True),
                ChannelRule(pattern="tasks.urgent", history_size=4),
            ]
        )
        for channel, size in (("tasks.urgent", 1), ("tasks.x", 2), ("tasks.x.y", 3), ("tasks", 100), ("other", 100)):
            self.assertEqual(rules.of(channel).history_size, size, channel)
        self.assertEqual((rules.of("tasks.urgent").presence, rules.of("tasks.x").durable), (True, False))

    def test_defaults(self) -> None:
        """Without a rule a channel holds the newest hundred for ten minutes, and tells who comes and goes."""
        rule = ChannelRules().of("anything")
        self.assertEqual((rule.history_size, rule.history_ttl, rule.durable), (100, 600.0, False))
        self.assertEqual((rule.max_message_size, rule.presence), (None, True))

    def test_own_channels(self) -> None:
        """No rule reaches the gateway's own channels: they hold nothing, and are no news themselves."""
        rules = ChannelRules([ChannelRule(pattern=">", history_size=9, durable=True)])
        for name in OWN_CHANNELS:
            rule = rules.of(name)
            self.assertEqual((rule.history_size, rule.durable, rule.presence), (0, False, False), name)


class FileTests(SynchronousTestCase):
    """Rules as an operator writes them."""

    def file(self, text: str) -> Path:
        path = Path(self.mktemp())
        path.write_text(text)
        return path

    def rules(self, text: str, **given: Any) -> tuple[ChannelRule, ...]:
        config, warnings = load(given, HOME, self.file(text))
        self.assertEqual(warnings, [])
        return config.channels

    def refused(self, text: str) -> str:
        """The one line that says why a file can't be."""
        message = str(self.assertRaises(ConfigError, load, {}, HOME, self.file(text)))
        self.assertNotIn("\n", message)
        return message

    def test_every_key(self) -> None:
        """Every key is read, durations and sizes in the spellings of all options, and the order is kept."""
        rules = self.rules(
            """
            [gateway]
            port = 1001

            [[channels]]
            pattern = "a.>"
            history_size = 5
            history_ttl = "10m"
            durable = false
            max_message_size = "64KiB"
            presence = false

            [[channels]]
            pattern = ">"
            history_ttl = 1.5
            """
        )
        self.assertEqual(
            rules,
            (
                ChannelRule(pattern="a.>", history_size=5, max_message_size=65536, presence=False),
                ChannelRule(pattern=">", history_ttl=1.5),
            ),
        )

    def test_all_keys_there_are(self) -> None:
        """The test above names every key: a new one can't be forgotten in the file."""
        known = self.refused('[[channels]]\npattern = "a"\nmore = 1').partition("there are ")[2].split(", ")
        self.assertEqual(known, list(ChannelRule.__struct_fields__))

    def test_none(self) -> None:
        """Without tables there are no rules."""
        self.assertEqual(self.rules(""), ())
        self.assertEqual(load({}, HOME)[0].channels, ())

    def test_defaults(self) -> None:
        """What a rule leaves out is as it is for all; durable channels hold more, and for longer."""
        plain, durable, own = self.rules(
            """
            [[channels]]
            pattern = "a"
            [[channels]]
            pattern = "b"
            durable = true
            [[channels]]
            pattern = "c"
            durable = true
            history_size = 7
            """
        )
        self.assertEqual((plain.history_size, plain.history_ttl), (DEFAULT.history_size, DEFAULT.history_ttl))
        self.assertEqual((durable.history_size, durable.history_ttl), (10_000, 7 * DAY))
        self.assertEqual((own.history_size, own.history_ttl, own.durable), (7, DURABLE.history_ttl, True))

    def test_spellings(self) -> None:
        """Each value may be written as options may; a switch is true or false."""
        for line, name, expected in (
            ("history_size = 0", "history_size", 0), ('history_size = "12"', "history_size", 12),
            ('history_ttl = "250ms"', "history_ttl", 0.25), ('history_ttl = "7d"', "history_ttl", 7 * DAY),
            ("durable = true", "durable", True), ("presence = false", "presence", False),
            ("max_message_size = 2048", "max_message_size", 2048),
            ("max_message_size = 0", "max_message_size", None),
            ('max_message_size = "1MiB"', "max_message_size", 2**20),
        ):  # fmt: skip
            (rule,) = self.rules(f'[[channels]]\npattern = "a"\n{line}')
            self.assertEqual(getattr(rule, name), expected, line)

    def test_wrong_values(self) -> None:
        """Whatever can't be is one line that names the file, the rule by its number, the key, and what was found."""
        for name, values in (
            ("history_size", ("-1", "1.5", "true", '"many"', "[1]", "10000001", "1e3", '""')),
            ("history_ttl", ("0", "-1", "true", '"soon"', '"1w"', "inf", "nan", "2026-01-01", "[]", '"367d"')),
            ("durable", ("2", '"maybe"', "[]", "{}", '""', "1.0")),
            ("presence", ("2", '"maybe"')),
            ("max_message_size", ("-1", "1.5", "true", '"64KB"', "[]")),
        ):
            for value in values:
                message = self.refused(f'[[channels]]\npattern = "a"\n[[channels]]\npattern = "b"\n{name} = {value}')
                self.assertIn(f"rule 2, {name}: expected ", message)
                self.assertTrue(message.startswith("channels in "), message)
                self.assertIn(", got ", message)

    def test_wrong_patterns(self) -> None:
        """Every rule has a pattern that is one of channels; the gateway's own channels have no rules."""
        for line in ("", "pattern = 1", 'pattern = ""', 'pattern = "a..b"', 'pattern = "a*"', 'pattern = ">.a"',
                     'pattern = "$system"', 'pattern = ["a"]', f'pattern = "{"x" * 201}"'):  # fmt: skip
            message = self.refused(f'[[channels]]\npattern = "a"\n[[channels]]\n{line}\nhistory_size = 1')
            self.assertIn("rule 2: expected a pattern", message, line)

    def test_unknown_keys(self) -> None:
        """A key that means nothing is refused with those there are, wherever it stands."""
        message = self.refused('[[channels]]\npattern = "a"\nhistory = 5')
        self.assertIn("rule 1: there is no history; there are pattern, history_size, ", message)
        self.assertIn("[[channels]]", self.refused('[channel]\npattern = "a"'))

    def test_wrong_shapes(self) -> None:
        """What is no list of tables is refused."""
        for text in ('[channels]\npattern = "a"', 'channels = "a"', "channels = 1", 'channels = ["a"]'):
            self.assertIn("expected [[channels]] tables", self.refused(text), text)

    def test_not_an_option(self) -> None:
        """Rules stand beside the options, not among them."""
        self.assertIn("channels", self.refused("[gateway]\nchannels = []"))


class KeywordTests(SynchronousTestCase):
    """Rules of a program that runs a gateway."""

    def test_tables(self) -> None:
        """A program gives rules as the file does, as dictionaries; they take the place of those of the file."""
        file = Path(self.mktemp())
        file.write_text('[[channels]]\npattern = "file"')
        for rules in ([{"pattern": "a", "history_ttl": "1m"}], ({"pattern": "a", "history_ttl": 60},)):
            config, _ = load({"channels": rules}, HOME, file)
            self.assertEqual(config.channels, (ChannelRule(pattern="a", history_ttl=60.0),))
        self.assertEqual(load({"channels": []}, HOME, file)[0].channels, ())
        self.assertEqual([rule.pattern for rule in load({"channels": None}, HOME, file)[0].channels], ["file"])

    def test_wrong(self) -> None:
        """What can't be names the keyword, and the rule."""
        for rules, expected in (
            ([{"pattern": "a"}, {"pattern": "b", "durable": 3}], "keyword channels, rule 2, durable: "),
            ([{"pattern": "a..b"}], "keyword channels, rule 1: "),
            ([{"patern": "a"}], "keyword channels, rule 1: "),
            ("a", "keyword channels: expected "),
            ({"pattern": "a"}, "keyword channels: expected "),
            ([1], "keyword channels: expected "),
        ):
            message = str(self.assertRaises(ConfigError, load, {"channels": rules}, HOME))
            self.assertIn(expected, message)
            self.assertNotIn("\n", message)

    def test_they_hold(self) -> None:
        """A gateway keeps to the rules that it was given."""
        channels, _ = load({"channels": [{"pattern": "a.*", "history_size": 2, "max_message_size": 20}]}, HOME)
        gateway = MemoryGateway(channels=channels.channels)
        self.addCleanup(gateway.close)
        client = gateway.connect("a")
        for channel, held in (("a.x", [2, 3]), ("a", [1, 2, 3])):
            for n in range(3):
                client.call("channel.publish", channel=channel, message=n)
            messages = client.call("channel.history", channel=channel)["messages"]
            self.assertEqual([message["offset"] for message in messages], held, channel)

    def test_message_size(self) -> None:
        """A message is as long as the rule allows, as it was written, and not a byte longer."""
        gateway = MemoryGateway(channels=(ChannelRule(pattern="a", max_message_size=10),))
        self.addCleanup(gateway.close)
        client = gateway.connect("a")
        self.assertEqual(client.call("channel.publish", channel="a", message="x" * 8)["offset"], 1)
        self.assertEqual(client.refusal("channel.publish", channel="a", message="x" * 9)["code"], -32005)
        self.assertEqual(client.call("channel.publish", channel="b", message="x" * 9)["offset"], 1)
        self.assertEqual(client.call("channel.publish", channel="a", message=1)["offset"], 2)
