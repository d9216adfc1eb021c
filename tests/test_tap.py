"""What twistd asks of a plugin: the options of the command line, and the service they make."""

import json
import os
import resource
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.application.service import Application, IService
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatEvent
from twisted.python.logfile import LogFile
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw import tap
from cell0gw.app.application import WebSocketGateway
from cell0gw.cli import _ServerOptions
from cell0gw.config.table import OPTIONS
from cell0gw.process.lifecycle import ProcessService
from cell0gw.process.state import StateFolder
from cell0gw.tap import Options, makeService

NOTHING = {
    "config": None, "host": None, "port": None, "listen": None, "tls-cert": None, "tls-key": None,
    "tls-key-passphrase-file": None, "state-dir": None,
    "heartbeat-interval": None,
    "heartbeat-timeout": None, "auth-timeout": None, "drain-timeout": None,
    "drain-accept": None, "max-message-size": None, "max-batch": None,
    "max-subscriptions": None, "max-connections": None, "max-connections-per-entity": None,
    "max-connections-per-address": None,
    "max-unauthenticated": None, "max-unauthenticated-per-address": None, "trusted-proxies": None,
    "allowed-origins": None, "allowed-hosts": None, "path": None, "public-url": None,
    "max-head-size": None, "max-in-flight": None, "calls-per-second": None,
    "calls-burst": None, "entity-calls-per-second": None, "entity-calls-burst": None, "max-errors": None,
    "outbound-limit": None, "total-outbound-limit": None, "total-inbound-limit": None,
    "resume-window": None, "idempotency-window": None, "history-bytes": None, "total-history-bytes": None,
    "max-database-size": None, "mail-ttl": None, "mailbox-messages": None, "mailbox-bytes": None,
    "sender-messages": None, "total-mailbox-bytes": None, "dead-letter-bytes": None, "max-attempts": None,
    "max-hops": None, "conversation-rate": None, "log-format": None, "log-level": None,
    "proxy-protocol": 0, "no-compression": 0, "no-anonymous-reads": 0, "check-inputs": 0,
}  # fmt: skip
"""What the options are when no flag is given."""


def parsed(*flags: str) -> Options:
    options = Options()
    options.parseOptions(list(flags))
    return options


class Portless(WebSocketGateway):
    """A gateway that leaves port and disk alone."""

    def prepare(self) -> None:
        """See L{WebSocketGateway}."""


class ClosingLogFile(LogFile):
    """A log file that the test closes."""

    opened: list["ClosingLogFile"] = []

    def _openFile(self) -> None:
        super()._openFile()
        self.opened.append(self)


class OptionsTests(SynchronousTestCase):
    """L{Options}."""

    def test_nothing_given(self) -> None:
        """Without flags nothing is given: the environment and the file have their say."""
        self.assertEqual(dict(parsed()), NOTHING)
        self.assertEqual(set(parsed().given().values()), {None})

    def test_given(self) -> None:
        """Each flag is given as its option, by the option's name."""
        options = parsed(
            "--port", "1234", "--heartbeat-interval=5s", "--no-compression", "--proxy-protocol", "-c", "a.toml"
        )
        given = {
            "port": "1234",
            "heartbeat-interval": "5s",
            "no-compression": 1,
            "proxy-protocol": 1,
            "config": "a.toml",
        }
        self.assertEqual(dict(options), NOTHING | given)
        there = {name: value for name, value in options.given().items() if value is not None}
        self.assertEqual(
            there,
            {"port": "1234", "heartbeat_interval": "5s", "enable_compression": False, "proxy_protocol": True},
        )

    def test_every_option_has_a_flag(self) -> None:
        """Every option but secrets, which any user of the machine could see in the process list, has a flag."""
        given = parsed().given()
        self.assertEqual(set(given), {option.name for option in OPTIONS if not option.secret})
        self.assertEqual([option.name for option in OPTIONS if option.secret], ["admin_token"])

    def test_help(self) -> None:
        """The help shows every flag, what it is for, and its default."""
        text = " ".join(str(parsed()).split())
        for option in OPTIONS:
            if not option.secret:
                self.assertIn(f" --{option.flag}", text)
                self.assertIn(option.help.split()[0], text)
        for flag, default in (("--port", "18801"), ("--host", "0.0.0.0"), ("--heartbeat-interval", "30s")):
            self.assertIn(f"[default: {default}]", text[text.index(f" {flag}=") :])
        self.assertNotIn("admin-token", text)

    def test_help_ends_well(self) -> None:
        """Asking for help is no error."""
        self.patch(sys, "stdout", StringIO())
        end = self.assertRaises(SystemExit, Options().parseOptions, ["--help"])
        self.assertIn(end.code, (0, None))
        self.assertIn("--port", sys.stdout.getvalue())  # type: ignore[attr-defined]

    def test_wrong_flags(self) -> None:
        """A flag that is unknown, lacks its value or has one too many ends the process with one line that says so."""
        for flags, word in (
            (["--prot", "1"], "prot"),
            (["--port"], "port"),
            (["--no-compression=yes"], "no-compression"),
            (["--admin-token", "x"], "admin-token"),
            (["serve"], "unexpected argument 'serve'"),
            (["--port", "1", "2"], "unexpected argument '2'"),
        ):
            message = str(self.assertRaises(SystemExit, Options().parseOptions, flags).code)
            self.assertTrue(message.startswith("cell0gw: "), message)
            self.assertNotIn("\n", message)
            self.assertIn(word, message)
            self.assertIn("--help", message)


class PidFileTests(SynchronousTestCase):
    """L{Options.postOptions}: the pid file that twistd is to write and obey."""

    def pid_file(self, *flags: str) -> str:
        options = _ServerOptions()
        options.parseOptions([*flags, "cell0gw"])
        return str(options["pidfile"])

    def test_foreground(self) -> None:
        """In the foreground there is none."""
        for flag in ("-n", "--nodaemon"):
            self.assertEqual(self.pid_file(flag), "")

    def test_given(self) -> None:
        """One that was given is kept, even by the name that is the default."""
        for name in ("gateway.pid", "twistd.pid"):
            self.assertEqual(self.pid_file("-n", f"--pidfile={name}"), os.path.abspath(name))

    def test_daemon(self) -> None:
        """A daemon has twistd's own."""
        self.assertEqual(self.pid_file(), os.path.abspath("twistd.pid"))


class Case(SynchronousTestCase):
    """With a state folder, an environment without the gateway's variables, and the limits as they were afterwards."""

    def setUp(self) -> None:
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))
        before = dict(os.environ)
        self.addCleanup(os.environ.update, before)
        self.addCleanup(os.environ.clear)
        for name in [name for name in before if name.startswith("CELL0_")]:
            del os.environ[name]
        self.state = Path(self.mktemp())

    def options(self, *flags: str, parent: dict[str, Any] | None = None) -> Options:
        options = parsed("--state-dir", str(self.state), "--host", "192.0.2.1", *flags)  # no machine's: RFC 5737
        options.parent = parent  # type: ignore[assignment]  # twistd's own
        return options


class RefusalTests(Case):
    """L{makeService}, when there can be no service."""

    def refusal(self, options: Options) -> str:
        """The one line the process ends with."""
        message = str(self.assertRaises(SystemExit, makeService, options).code)
        self.assertTrue(message.startswith("cell0gw: "), message)
        self.assertNotIn("\n", message)
        return message

    def test_value(self) -> None:
        """A value that can't be is told, with its flag."""
        self.assertIn("port from --port: ", self.refusal(self.options("--port", "http")))
        self.assertFalse(self.state.exists())

    def test_variable(self) -> None:
        """So is one from the environment."""
        os.environ["CELL0_HEARTBEAT_INTERVAL"] = "often"
        self.assertIn("CELL0_HEARTBEAT_INTERVAL", self.refusal(self.options()))

    def test_file(self) -> None:
        """A configuration file that can't be read is named, be it given by flag or by variable."""
        self.assertIn("/nowhere/a.toml", self.refusal(self.options("--config", "/nowhere/a.toml")))
        os.environ["CELL0_GATEWAY_CONFIG"] = "/nowhere/b.toml"
        self.assertIn("/nowhere/b.toml", self.refusal(self.options()))
        self.assertIn("/nowhere/a.toml", self.refusal(self.options("--config", "/nowhere/a.toml")))

    def test_port(self) -> None:
        """A port that can't be had ends the process before it forks, with the reason."""
        self.assertIn("can't listen on 192.0.2.1 port 18801", self.refusal(self.options()))

    def test_second_process(self) -> None:
        """A second process on the same state folder ends at once."""
        folder = StateFolder(self.state)
        folder.lock()
        self.addCleanup(folder.unlock)
        self.assertIn("another gateway", self.refusal(self.options()))

    def test_state_folder(self) -> None:
        """A state folder that can't be made ends it, with the option that chooses another."""
        self.state.write_text("a file")
        self.assertIn("--state-dir", self.refusal(self.options()))

    def test_database(self) -> None:
        """A database that can't be read ends it, with the file's name."""
        self.state.mkdir()
        (self.state / "gateway.db").write_bytes(b"x" * 5000)
        self.assertIn("gateway.db", self.refusal(self.options()))


class ServiceTests(Case):
    """L{makeService}, but for the port."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(tap, "WebSocketGateway", Portless)

    def test_service(self) -> None:
        """It is a service with the gateway in it, made of what the flags say."""
        process = makeService(self.options("--port", "1234", "--no-anonymous-reads"))
        self.assertTrue(verifyObject(IService, process))
        self.assertIsInstance(process, ProcessService)
        _, gateway = process  # type: ignore[misc]
        self.assertEqual((gateway.config.port, gateway.config.anonymous_reads), (1234, False))
        self.assertEqual(gateway.config.state_dir, self.state)

    def test_file(self) -> None:
        """The file is read, below the environment and the flags."""
        file = Path(self.mktemp())
        file.write_text("[gateway]\nport = 1001\nmax_batch = 1001\nmax_subscriptions = 1001")
        os.environ.update(CELL0_GATEWAY_PORT="1002", CELL0_GATEWAY_MAX_BATCH="1002")
        _, gateway = makeService(self.options("--config", str(file), "--port", "1003"))  # type: ignore[misc]
        config = gateway.config
        self.assertEqual((config.port, config.max_batch, config.max_subscriptions), (1003, 1002, 1001))

    def test_file_limit(self) -> None:
        """The process may open as many files as the system lets it: each connection is one."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        makeService(self.options())
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE)[0], hard)

    def test_warnings(self) -> None:
        """A variable that means nothing is a warning in the log, once."""
        os.environ["CELL0_GATEWAY_PROT"] = "1"
        events: list[LogEvent] = []
        self.patch(ProcessService, "log", Logger(observer=events.append))
        makeService(self.options())
        (event,) = events
        self.assertIs(event["log_level"], LogLevel.warn)
        self.assertIn("CELL0_GATEWAY_PROT", formatEvent(event))

    def test_service_links(self) -> None:
        """Variables of Kubernetes are one line in the log, which is no warning, and no options."""
        os.environ |= {
            "CELL0_GATEWAY_SERVICE_HOST": "10.96.0.1",
            "CELL0_GATEWAY_SERVICE_PORT": "18801",
            "CELL0_GATEWAY_PORT": "tcp://10.96.0.1:18801",
        }
        events: list[LogEvent] = []
        self.patch(ProcessService, "log", Logger(observer=events.append))
        _, gateway = makeService(self.options())  # type: ignore[misc]
        self.assertEqual(gateway.config.port, 18801)
        (event,) = events
        self.assertIs(event["log_level"], LogLevel.info)
        self.assertIn("3 variables are service links", formatEvent(event))

    def log(self, parent: dict[str, Any], *flags: str) -> None:
        """Log a line as twistd would, with the observer that it finds."""
        application = Application("cell0gw")
        makeService(self.options(*flags, parent=parent)).setServiceParent(application)
        observer = application.getComponent(ILogObserver)
        for level, words in ((LogLevel.info, "hello"), (LogLevel.error, "trouble")):
            observer({"log_level": level, "log_namespace": "test", "log_time": 0.0, "log_format": words})

    def test_log_of_the_foreground(self) -> None:
        """In the foreground the log goes to standard output, in the format and from the level that were asked for."""
        for parent in ({"nodaemon": 1, "logfile": None}, {"nodaemon": 0, "logfile": "-"}):
            self.patch(sys, "stdout", stream := StringIO())
            self.log(parent, "--log-format", "json", "--log-level", "error")
            self.assertEqual([json.loads(line)["message"] for line in stream.getvalue().splitlines()], ["trouble"])

    def test_log_file(self) -> None:
        """twistd's --logfile is where the log goes."""
        path = Path(self.mktemp())
        self.patch(tap, "LogFile", ClosingLogFile)
        self.patch(ClosingLogFile, "opened", opened := [])
        self.log({"nodaemon": 1, "logfile": str(path)})
        opened[0].close()
        self.assertEqual([line.split()[-1] for line in path.read_text().splitlines()], ["hello", "trouble"])

    def test_log_is_twistds(self) -> None:
        """Whoever gave twistd a logger of its own, or syslog, has it."""
        for parent in ({"logger": "my.module.observer"}, {"syslog": 1}):
            application = Application("cell0gw")
            makeService(self.options(parent=parent)).setServiceParent(application)
            self.assertIsNone(application.getComponent(ILogObserver))
