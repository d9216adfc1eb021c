"""``python -m cell0gw``."""

import runpy
import sys
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cell0gw import __version__, cli
from cell0gw.cli import main
from cell0gw.config.table import OPTIONS
from cell0gw.testing import MemoryGateway
from twisted.plugins import cell0gw_plugin


class MainTests(SynchronousTestCase):
    """L{main}, up to where it would serve; the end-to-end tests serve."""

    def setUp(self) -> None:
        self.output = StringIO()
        self.patch(sys, "stdout", self.output)

    def end(self, *arguments: str) -> SystemExit:
        return self.assertRaises(SystemExit, main, arguments)

    def assertOneLine(self, end: SystemExit, word: str) -> None:
        message = str(end.code)
        self.assertTrue(message.startswith("cell0gw: "), message)
        self.assertNotIn("\n", message)
        self.assertIn(word, message)
        self.assertEqual(self.output.getvalue(), "")

    def test_help(self) -> None:
        """The help is that of the gateway, with every flag it has."""
        self.assertIn(self.end("--help").code, (0, None))
        text = self.output.getvalue()
        for option in OPTIONS:
            if not option.secret:
                self.assertIn(f"--{option.flag}", text)
        self.assertNotIn("--pidfile", text)
        self.assertTrue(text.startswith("Usage: python -m cell0gw [options]\n"), text)
        self.assertNotIn("twistd", text)

    def test_help_of_the_other_name(self) -> None:
        """``python -m cell0.service.gateway_ws`` is called by that name."""
        self.patch(sys, "argv", ["gateway_ws.py", "--help"])
        self.assertRaises(SystemExit, runpy.run_module, "cell0.service.gateway_ws", run_name="__main__")
        self.assertTrue(self.output.getvalue().startswith("Usage: python -m cell0.service.gateway_ws [options]\n"))

    def test_version(self) -> None:
        """--version prints the name and the version of what is installed."""
        self.assertEqual(self.end("--version").code, 0)
        self.assertEqual(self.output.getvalue(), f"cell0gw {__version__}\n")

    def test_name(self) -> None:
        """The server has one name, in its answers as for twistd."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        client = gateway.connect()
        names = {cell0gw_plugin.cell0gw.name, cli._MAKER.name, client.call("rpc.getServerInfo")["name"]}
        self.assertEqual(names, {client.call("rpc.discover")["info"]["title"]})

    def test_wrong_flag(self) -> None:
        """A flag that is unknown ends it with one line, and with a status other than 0."""
        self.assertOneLine(self.end("--prot", "1"), "--prot")

    def test_wrong_value(self) -> None:
        """A value that can't be ends it with one line that names the flag."""
        self.assertOneLine(self.end("--port", "http"), "--port")

    def test_state_folder(self) -> None:
        """A state folder that can't be made ends it with one line that names it."""
        path = Path(self.mktemp())
        path.write_text("a file")
        self.assertOneLine(self.end("--host", "192.0.2.1", "--state-dir", str(path)), str(path))

    def test_flags_of_the_process(self) -> None:
        """Without arguments it takes those of the process."""
        self.patch(sys, "argv", ["cell0gw", "--from-the-process"])
        self.assertOneLine(self.assertRaises(SystemExit, main), "--from-the-process")

    def test_module(self) -> None:
        """``python -m cell0gw`` is the same."""
        self.patch(sys, "argv", ["cell0gw", "--port", "http"])
        self.assertOneLine(self.assertRaises(SystemExit, runpy.run_module, "cell0gw", run_name="__main__"), "--port")
