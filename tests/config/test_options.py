"""The options: what each may be, and where its value comes from."""

import ast
import importlib.util
import inspect
import itertools
import json
import math
import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.config.file import ConfigError
from cell0gw.config.options import Config, default_state_dir, load
from cell0gw.config.table import OPTIONS
from cell0gw.protocol.limits import Limits, MailLimits

SECRET = "Sesame" * 6
HOME = {"XDG_STATE_HOME": "/var/home"}

# What the file, the environment and the command line say of each option, and what it becomes.
LADDER: dict[str, tuple[tuple[Any, Any], tuple[str, Any], tuple[Any, Any]]] = {
    "host": (("10.0.0.1", "10.0.0.1"), ("::1", "::1"), ("gateway.example", "gateway.example")),
    "port": ((1001, 1001), ("1002", 1002), ("0", 0)),
    "listen": ((["a b", "c"], ("a b", "c")), ("tcp:1 unix:/a", ("tcp:1", "unix:/a")), ("tcp:2", ("tcp:2",))),
    "tls_cert": (("/a", Path("/a")), ("/b", Path("/b")), ("/c", Path("/c"))),
    "tls_key": (("/a", Path("/a")), ("/b", Path("/b")), ("/c", Path("/c"))),
    "tls_key_passphrase_file": (("/a", Path("/a")), ("/b", Path("/b")), ("/c", Path("/c"))),
    "state_dir": (("/a", Path("/a")), ("/b", Path("/b")), ("/c", Path("/c"))),
    "heartbeat_interval": ((1.5, 1.5), ("2s", 2.0), ("250ms", 0.25)),
    "heartbeat_timeout": (("1h", 3600.0), ("61", 61.0), ("2m", 120.0)),
    "auth_timeout": (("10s", 10.0), ("0", 0.0), ("1d", 86400.0)),
    "drain_timeout": (("20s", 20.0), ("1", 1.0), ("500ms", 0.5)),
    "drain_accept": (("250ms", 0.25), ("0.1", 0.1), ("0", 0.0)),
    "max_connections": ((1, 1), ("2", 2), ("3", 3)),
    "max_connections_per_address": ((1, 1), ("2", 2), ("3", 3)),
    "max_unauthenticated": ((1, 1), ("2", 2), ("3", 3)),
    "max_unauthenticated_per_address": ((1, 1), ("2", 2), ("3", 3)),
    "trusted_proxies": (
        (["10.0.0.0/8", "local"], ("10.0.0.0/8", "local")),
        ("::1", ("::1/128",)),
        ("10.0.0.1, local", ("10.0.0.1/32", "local")),
    ),
    "proxy_protocol": ((True, True), ("no", False), (True, True)),
    "allowed_origins": (
        (["https://a.example"], ("https://a.example",)),
        ("http://b:1", ("http://b:1",)),
        ("http://a,http://b", ("http://a", "http://b")),
    ),
    "path": (("/a", "/a"), ("/b/c", "/b/c"), ("/", "/")),
    "public_url": (("wss://a", "wss://a"), ("ws://B:1/c", "ws://b:1/c"), ("wss://[::1]:1/", "wss://[::1]:1/")),
    "max_connections_per_entity": ((1, 1), ("0", 0), ("3", 3)),
    "max_head_size": (("32KiB", 32768), ("1024", 1024), ("64KiB", 65536)),
    "allowed_hosts": ((["a.example"], ("a.example",)), ("B:1", ("b:1",)), ("a,[::1]:1", ("a", "[::1]:1"))),
    "max_message_size": (("1MiB", 1024**2), ("64KiB", 65536), ("100000", 100_000)),
    "max_batch": ((1, 1), ("2", 2), ("3", 3)),
    "max_subscriptions": ((1, 1), ("2", 2), ("3", 3)),
    "max_in_flight": ((1, 1), ("2", 2), ("3", 3)),
    "calls_per_second": ((1, 1), ("2", 2), ("3", 3)),
    "calls_burst": ((1, 1), ("2", 2), ("3", 3)),
    "entity_calls_per_second": ((1, 1), ("2", 2), ("3", 3)),
    "entity_calls_burst": ((1, 1), ("2", 2), ("3", 3)),
    "max_errors": ((1, 1), ("2", 2), ("3", 3)),
    "outbound_limit": (("1MiB", 1024**2), ("64KiB", 65536), ("100000", 100_000)),
    "total_outbound_limit": (("1MiB", 1024**2), ("64KiB", 65536), ("0", 0)),
    "total_inbound_limit": (("1MiB", 1024**2), ("64KiB", 65536), ("0", 0)),
    "resume_window": (("1m", 60.0), ("0", 0.0), ("5m", 300.0)),
    "idempotency_window": (("1m", 60.0), ("1", 1.0), ("5m", 300.0)),
    "history_bytes": (("1MiB", 1024**2), ("64KiB", 65536), ("100000", 100_000)),
    "total_history_bytes": (("1MiB", 1024**2), ("64KiB", 65536), ("100000", 100_000)),
    "max_database_size": (("1GiB", 1024**3), ("64MiB", 64 * 1024**2), ("100000", 100_000)),
    "mail_ttl": (("1h", 3600.0), ("1d", 86400.0), ("90", 90.0)),
    "mailbox_messages": ((1, 1), ("2", 2), ("3", 3)),
    "mailbox_bytes": (("1MiB", 1024**2), ("64KiB", 65536), ("100000", 100_000)),
    "sender_messages": ((1, 1), ("2", 2), ("3", 3)),
    "max_attempts": (("1", 1), ("7", 7), ("0", 0)),
    "dead_letter_bytes": (("1MiB", 1024**2), ("64KiB", 65536), ("100000", 100_000)),
    "total_mailbox_bytes": (("1MiB", 1024**2), ("64KiB", 65536), ("100000", 100_000)),
    "max_hops": ((1, 1), ("0", 0), ("3", 3)),
    "conversation_rate": ((1, 1), ("0", 0), ("3", 3)),
    "enable_compression": ((False, False), ("true", True), (False, False)),
    "anonymous_reads": ((False, False), ("on", True), (False, False)),
    "check_inputs": ((True, True), ("no", False), (True, True)),
    "admin_token": tuple((f"cell0_{SECRET}_{n}", f"cell0_{SECRET}_{n}") for n in (1, 2, 3)),  # type: ignore[dict-item]
    "log_format": (("json", "json"), ("text", "text"), ("json", "json")),
    "log_level": (("debug", "debug"), ("warn", "warn"), ("error", "error")),
}


class Case(SynchronousTestCase):
    """With a file to read."""

    def file(self, text: str | bytes) -> Path:
        path = Path(self.mktemp())
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def refused(
        self, given: dict[str, Any] | None = None, environment: dict[str, str] | None = None, file: Path | None = None
    ) -> str:
        """The one line that says why these options can't be."""
        message = str(self.assertRaises(ConfigError, load, given or {}, environment or {}, file))
        self.assertNotIn("\n", message)
        return message


class PrecedenceTests(Case):
    """A flag wins over the environment, that over the file, that over the default."""

    def test_every_option_from_every_source(self) -> None:
        """Whichever of flag, variable and file are there, the first of them in this order counts, for every option."""
        self.assertEqual(set(LADDER), {option.name for option in OPTIONS})
        for option, flags in itertools.product(OPTIONS, itertools.product((False, True), repeat=3)):
            in_file, in_environment, given = flags
            from_file, from_environment, from_flag = LADDER[option.name]
            file = self.file(f"[gateway]\n{option.name} = {json.dumps(from_file[0])}" if in_file else "")
            environment = {option.variable: from_environment[0]} if in_environment else {}
            needed = {"tls_cert": "/a"} if option.name.startswith("tls_key") else {}
            needed |= {"trusted_proxies": "192.0.2.1"} if option.name == "proxy_protocol" else {}
            config, warnings = load(needed | {option.name: from_flag[0] if given else None}, HOME | environment, file)
            expected = Path("/var/home/cell0gw") if option.name == "state_dir" else getattr(Config(), option.name)
            for there, (_, parsed) in zip(flags, LADDER[option.name], strict=True):
                expected = parsed if there else expected
            self.assertEqual(getattr(config, option.name), expected, f"{option.name} {flags}")
            self.assertEqual(warnings, [])

    def test_empty_variables(self) -> None:
        """A variable set to nothing, as compose files pass those that are not set, is as good as none."""
        config, warnings = load({}, {option.variable: "" for option in OPTIONS} | HOME)
        self.assertEqual((config.port, config.admin_token, warnings), (18801, None, []))

    def test_no_home(self) -> None:
        """Without a home of one's own a state folder must be named; a relative XDG folder is ignored."""
        config, _ = load({}, HOME | {"XDG_STATE_HOME": "relative"})
        self.assertNotIn("relative", str(config.state_dir))
        self.assertIn("state_dir", self.refused(environment={"HOME": "relative"}))
        for path in ("~nosuchuser/x", "a\0b"):
            self.assertIn("state_dir", self.refused(given={"state_dir": path}))

    def test_sources_mix(self) -> None:
        """Each option takes its own way: one from the file, one from the environment, one given."""
        file = self.file('[gateway]\nhost = "10.0.0.1"\nport = 1001\nmax_batch = 7')
        config, _ = load({"port": "1003"}, {"CELL0_GATEWAY_HOST": "10.0.0.2", "CELL0_GATEWAY_PORT": "1002"}, file)
        self.assertEqual((config.host, config.port, config.max_batch), ("10.0.0.2", 1003, 7))

    def test_defaults(self) -> None:
        """The documented defaults: all addresses, 18801, 30 s, 60 s, 10 MiB."""
        config, warnings = load({}, {})
        self.assertEqual((config.host, config.port), ("0.0.0.0", 18801))
        self.assertEqual((config.heartbeat_interval, config.heartbeat_timeout, config.auth_timeout), (30.0, 60.0, 30.0))
        self.assertEqual((config.max_message_size, config.max_batch, config.max_subscriptions), (10_485_760, 50, 1000))
        self.assertEqual((config.enable_compression, config.anonymous_reads), (True, True))
        self.assertEqual((config.admin_token, config.log_format, config.log_level), (None, "text", "info"))
        self.assertEqual(warnings, [])

    def test_documented_variables(self) -> None:
        """The four variables of the documentation are called exactly so."""
        environment = {"CELL0_GATEWAY_HOST": "::", "CELL0_GATEWAY_PORT": "9"}
        environment |= {"CELL0_HEARTBEAT_INTERVAL": "5", "CELL0_HEARTBEAT_TIMEOUT": "6.5"}
        config, warnings = load({}, environment)
        self.assertEqual((config.host, config.port), ("::", 9))
        self.assertEqual((config.heartbeat_interval, config.heartbeat_timeout), (5.0, 6.5))
        self.assertEqual(warnings, [])

    def test_limits(self) -> None:
        """The limits that peers feel are those of the options."""
        limits = load({"max_message_size": 70_000, "max_batch": 3, "max_subscriptions": 4}, {})[0].limits
        self.assertEqual((limits.max_message_size, limits.max_batch, limits.max_subscriptions), (70_000, 3, 4))

    def test_check_inputs_needs_a_package(self) -> None:
        """Inputs are checked where the package for that is installed; else the refusal says how to get it."""
        self.assertTrue(load({"check_inputs": True}, HOME)[0].check_inputs)
        self.patch(importlib.util, "find_spec", lambda name: None)
        self.assertIn("pip install 'cell0gw[schemas]'", self.refused(given={"check_inputs": True}))

    def test_proxy_protocol_needs_proxies(self) -> None:
        """Headers of the PROXY protocol are believed of somebody who is named, or not read at all."""
        self.assertIn("set trusted_proxies, too", self.refused(given={"proxy_protocol": True}))
        config, _ = load({"proxy_protocol": True, "trusted_proxies": "local"}, HOME)
        self.assertTrue(config.proxy_protocol)


class TableTests(SynchronousTestCase):
    """The tables that an option stands in."""

    def test_defaults_are_written_once(self) -> None:
        """An option that is a limit takes its default from the table of limits; no two tables write one."""
        taken: set[str] = set()
        written: list[str] = []
        for table in (Config, Limits, MailLimits):
            (definition,) = ast.parse(inspect.getsource(table)).body
            assert isinstance(definition, ast.ClassDef)
            for field in definition.body:
                if isinstance(field, ast.AnnAssign) and field.value is not None:
                    name = ast.unparse(field.target)
                    (taken.add if ast.unparse(field.value) == f"LIMITS.{name}" else written.append)(name)
        # As options they are, unless given, what the machine allows, and half of that.
        others = {"max_connections", "max_connections_per_entity"}
        for name in others:
            written.remove(name)
        self.assertEqual(len(written), len(set(written)))
        self.assertEqual(taken | others, set(Limits.__struct_fields__) & set(Config.__struct_fields__))

    def test_every_option_has_a_default(self) -> None:
        """The options are the fields of L{Config}, in their order; rules of channels have a table of their own."""
        fields = [name for name in Config.__struct_fields__ if name != "channels"]
        self.assertEqual([option.name for option in OPTIONS], fields)


class ValueTests(Case):
    """What a value may look like."""

    def test_booleans(self) -> None:
        """A switch is true or false in TOML; in a variable also yes, on, 1, no, off, 0, in any case."""
        for text, expected in (
            *((text, True) for text in ("true", "True", "TRUE", "yes", "on", "1")),
            *((text, False) for text in ("false", "False", "no", "OFF", "0")),
        ):
            config, _ = load({}, {"CELL0_GATEWAY_ANONYMOUS_READS": text})
            self.assertIs(config.anonymous_reads, expected, text)
        for text in ("y", "2", "enabled", "truee", " true"):
            self.assertIn("true or false", self.refused(environment={"CELL0_GATEWAY_ANONYMOUS_READS": text}))

    def test_booleans_in_a_file(self) -> None:
        """In a file a switch is true or false and nothing else, an option and a channel's alike."""
        for text in ('"true"', '"yes"', '"maybe"', "1", "0", "[]"):
            for content, what in (
                (f"[gateway]\nanonymous_reads = {text}", "anonymous_reads in "),
                (f'[[channels]]\npattern = "a"\ndurable = {text}', "rule 1, durable"),
                (f'[[channels]]\npattern = "a"\npresence = {text}', "rule 1, presence"),
            ):
                message = self.refused(file=self.file(content))
                self.assertIn(what, message)
                self.assertIn("expected true or false, without quotes, got ", message)
        config, _ = load({}, {}, self.file("[gateway]\nanonymous_reads = false"))
        self.assertFalse(config.anonymous_reads)

    def test_wrong_values(self) -> None:
        """Whatever an option can't be is refused in one line that names it."""
        for name, values in {
            "host": ("", 5, True, None),
            "port": (-1, 65536, 1.0, "1.0", "", "http", "0x1", "1e3", " 1", True, "9" * 5000, [1], {}),
            "state_dir": ("", 5),
            "heartbeat_interval": (0, "0s", -1, "never", math.nan),
            "heartbeat_timeout": (0, "0ms", -1, "", math.inf),
            "auth_timeout": (-1, "", "never"),
            "max_message_size": ("", "10MB", -1, 0, 1023, "9" * 5000),
            "max_batch": (0, 10_001, "", "many"),
            "max_subscriptions": (0, 1_000_001),
            "log_format": ("", "xml", "JSON", ["json"]),
            "log_level": ("", "warning", "INFO", 10),
        }.items():
            for value in values:
                if value is not None:
                    self.assertIn(name, self.refused({name: value}), repr(value))

    def test_timeout_must_exceed_interval(self) -> None:
        """A timeout that is no longer than the interval would close clients that answer each heartbeat."""
        for interval, timeout in (("30s", "30s"), ("61s", "60s"), ("1m", "30s")):
            message = self.refused({"heartbeat_interval": interval, "heartbeat_timeout": timeout})
            self.assertIn("heartbeat_timeout", message)
            self.assertIn("heartbeat_interval", message)
        self.assertIn("heartbeat_timeout (60 s)", self.refused(environment={"CELL0_HEARTBEAT_INTERVAL": "90"}))
        self.assertEqual(load({"heartbeat_interval": 59.9}, {})[0].heartbeat_interval, 59.9)

    def test_state_dir_below_home(self) -> None:
        """A tilde stands for the home folder, since files and variables know no shell."""
        config, _ = load({"state_dir": "~/gateway"}, {})
        self.assertEqual(config.state_dir, Path(os.path.expanduser("~")) / "gateway")


class MessageTests(Case):
    """Messages name the option and where its value came from, and never tell secrets."""

    def test_where_it_came_from(self) -> None:
        """The flag, the variable or the file is named, with what it said."""
        file = self.file('[gateway]\nport = "http"')
        self.assertIn("port from --port: ", self.refused({"port": "http"}))
        self.assertIn("port from CELL0_GATEWAY_PORT: ", self.refused(environment={"CELL0_GATEWAY_PORT": "http"}))
        self.assertIn(f"port in {file}: ", self.refused(file=file))
        self.assertIn("got 'http'", self.refused({"port": "http"}))

    def test_spelling_of_keywords(self) -> None:
        """Whoever gave a keyword reads of a keyword."""
        error = self.assertRaises(
            ConfigError, load, {"port": -1}, {}, spelling=lambda option: f"the keyword {option.name}"
        )
        self.assertIn("port from the keyword port: ", str(error))

    def test_a_long_value_is_cut(self) -> None:
        """A value that is a whole file by mistake doesn't fill the terminal."""
        self.assertLess(len(self.refused({"port": "x" * 10_000})), 300)

    def test_secrets_are_not_told(self) -> None:
        """No message repeats an admin token, however it is wrong."""
        for token in (SECRET, f"cell0_{SECRET}", f"cell0_{SECRET}_x", f"cell0_{SECRET}-_1", f"cell0_{SECRET}_1\n"):
            file = self.file(f"[gateway]\nadmin_token = {json.dumps(token)}")
            for message in (
                self.refused({"admin_token": token}),
                self.refused(environment={"CELL0_GATEWAY_ADMIN_TOKEN": token}),
                self.refused(file=file),
            ):
                self.assertIn("admin_token", message)
                self.assertNotIn(SECRET, message)

    def test_unknown_options(self) -> None:
        """A key or a keyword that is no option is an error: a typo must not silently be the default."""
        self.assertIn("prot", self.refused({"prot": 1}))
        self.assertIn("heartbeat-interval in ", self.refused(file=self.file("[gateway]\nheartbeat-interval = 3")))

    def test_unknown_tables(self) -> None:
        """So is a table; options that stand outside of [gateway] are told where they belong."""
        self.assertIn("[gateway]", self.refused(file=self.file("port = 1")))
        self.assertIn("gatway", self.refused(file=self.file("[gatway]\nport = 1")))
        self.assertIn("expected a table", self.refused(file=self.file("gateway = 1")))
        self.assertIn("expected a table", self.refused(file=self.file("[[gateway]]\nport = 1")))

    def test_unknown_variables(self) -> None:
        """A variable that means nothing here is a warning that names it: the environment may be meant for others."""
        environment = {"CELL0_GATEWAY_PROT": "1", "CELL0_GATEWAY_A": "", "CELL0_URL": "x", "PATH": "/bin"}
        _, warnings = load({}, environment)
        self.assertEqual([warning.split()[3] for warning in warnings], ["CELL0_GATEWAY_A", "CELL0_GATEWAY_PROT"])
        self.assertEqual(load({}, {"CELL0_GATEWAY_CONFIG": "/etc/x.toml"})[1], [])

    def test_variables_like_others(self) -> None:
        """A variable that is nearly an option's is a warning with that one, whatever it begins with."""
        for name, meant in (
            ("CELL0_HEARTBEAT_INTERVAL_", "CELL0_HEARTBEAT_INTERVAL"),
            ("CELL0_HEARTBEAT_INTERVALL", "CELL0_HEARTBEAT_INTERVAL"),
            ("CELL0_HEARTBEAT_TIMOUT", "CELL0_HEARTBEAT_TIMEOUT"),
            ("CELL0_GATEWAY_PROT", "CELL0_GATEWAY_PORT"),
            ("CELL0_GATWAY_PORT", "CELL0_GATEWAY_PORT"),
            ("CELL0_GATEWAY_HEARTBEAT_TIMEOUT", "CELL0_HEARTBEAT_TIMEOUT"),
            ("CELL0_GATEWAY_CONFG", "CELL0_GATEWAY_CONFIG"),
        ):
            warning = f"the environment variable {name} means nothing to this gateway; did you mean {meant}?"
            self.assertEqual(load({}, {name: "5"})[1], [warning])
        warning = "the environment variable CELL0_GATEWAY_COLOUR means nothing to this gateway"
        self.assertEqual(load({}, {"CELL0_GATEWAY_COLOUR": "red"})[1], [warning])

    def test_variables_of_others(self) -> None:
        """Variables of other parts of Cell 0 OS are left alone, and so are those that the gateway reads."""
        others = dict.fromkeys(("CELL0_TOKEN", "CELL0_PORT", "CELL0_API_HOST", "CELL0_HEARTBEAT", "CELL0_"), "x")
        self.assertEqual(load({}, others)[1], [])
        known = {"CELL0_GATEWAY_HOST": "::1", "CELL0_GATEWAY_PORT": "7"}
        known |= {"CELL0_HEARTBEAT_INTERVAL": "2", "CELL0_HEARTBEAT_TIMEOUT": "3"}
        config, warnings = load({}, known)
        self.assertEqual((config.host, config.port, warnings), ("::1", 7, []))
        self.assertEqual((config.heartbeat_interval, config.heartbeat_timeout), (2.0, 3.0))

    def test_heartbeat_under_the_wrong_prefix(self) -> None:
        """Who takes CELL0_GATEWAY_HEARTBEAT_INTERVAL for the variable is warned that it means nothing."""
        config, warnings = load({}, {"CELL0_GATEWAY_HEARTBEAT_INTERVAL": "5"})
        self.assertEqual((config.heartbeat_interval, len(warnings)), (30.0, 1))


class TogetherTests(Case):
    """Options that don't go together."""

    def test_drain_accept(self) -> None:
        """Newcomers are not accepted for as long as it takes until all are cut off."""
        for given in ({"drain_accept": "10s"}, {"drain_accept": "5s", "drain_timeout": "5s"}):
            self.assertIn("must be shorter than drain_timeout", self.refused(given))
        self.assertEqual(load({"drain_accept": "9s"}, {})[0].drain_accept, 9.0)


class WinnerTests(Case):
    """Only the value that wins is judged."""

    def test_flag(self) -> None:
        """A flag makes good a variable that can't be, and one in the file."""
        config, _ = load({"port": "7"}, {"CELL0_GATEWAY_PORT": "http"}, self.file('[gateway]\nport = "https"'))
        self.assertEqual(config.port, 7)

    def test_variable(self) -> None:
        """A variable makes good a value of the file."""
        config, _ = load({}, {"CELL0_GATEWAY_PORT": "7"}, self.file('[gateway]\nport = "https"'))
        self.assertEqual(config.port, 7)

    def test_loser(self) -> None:
        """One that can't be and wins is refused with where it came from."""
        self.assertIn("port from CELL0_GATEWAY_PORT: ", self.refused(environment={"CELL0_GATEWAY_PORT": "http"}))
        file = self.file('[gateway]\nport = "https"')
        self.assertIn("port from --port: ", self.refused({"port": "x"}, {"CELL0_GATEWAY_PORT": "7"}, file))


class FileTests(Case):
    """Files that can't be read."""

    def test_unreadable(self) -> None:
        """A file that is missing, is a folder, is no TOML or no UTF-8 is refused in one line that names it."""
        folder = Path(self.mktemp())
        folder.mkdir()
        for path, word in (
            (folder / "none.toml", "No such file"),
            (folder, "directory"),
            (self.file("[gateway\nport = 1"), "line 1"),
            (self.file("[gateway]\nport = 1\nport = 2"), "Cannot overwrite"),
            (self.file(b"[gateway]\nhost = '\xff'"), "utf-8"),
        ):
            message = self.refused(file=path)
            self.assertTrue(message.startswith(f"{path}: "), message)
            self.assertIn(word, message)

    def test_empty(self) -> None:
        """An empty file and an empty table say nothing."""
        for text in ("", "[gateway]", "# port = 1"):
            self.assertEqual(load({}, {}, self.file(text))[0].port, 18801)


class StateDirTests(SynchronousTestCase):
    """L{default_state_dir}."""

    def test_systemd(self) -> None:
        """Under systemd it is the state directory of the unit, the first if there are more."""
        environment = {"STATE_DIRECTORY": "/var/lib/cell0gw:/var/lib/more", "XDG_STATE_HOME": "/x"}
        self.assertEqual(default_state_dir(environment), Path("/var/lib/cell0gw"))

    def test_xdg(self) -> None:
        """Else a folder of our own in the user's state home; an empty variable is none."""
        environment = {"STATE_DIRECTORY": "", "XDG_STATE_HOME": "/x"}
        self.assertEqual(default_state_dir(environment), Path("/x/cell0gw"))

    def test_home(self) -> None:
        """Else in the place where the state home is by default."""
        expected = Path(os.path.expanduser("~")) / ".local" / "state" / "cell0gw"
        for environment in ({}, {"XDG_STATE_HOME": ""}):
            self.assertEqual(default_state_dir(environment), expected)
