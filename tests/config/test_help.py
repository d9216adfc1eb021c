"""The help of the command line."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.config.help import COLUMN, default_of, usage
from cell0gw.config.options import Config
from cell0gw.config.table import GROUPS, OPTIONS


class HelpTests(SynchronousTestCase):
    """L{usage}."""

    def entries(self, width: int) -> dict[str, str]:
        """What stands beside each flag."""
        text = re.sub(rf"\n {{{COLUMN}}}", " ", usage(width))
        return {flag: " ".join(words.split()) for flag, words in re.findall(r"^  (--[\w-]+=?) +(.*)$", text, re.M)}

    def test_groups(self) -> None:
        """The options stand in groups, those that matter first, and what is no option of the gateway last."""
        titles = re.findall(r"^(\S.*):$", usage(80), re.M)
        self.assertEqual(titles, [*GROUPS, "Other"])
        first = usage(80).split("\n\n")[0]
        self.assertEqual(
            re.findall(r"^  --([\w-]+)=", first, re.M), ["host", "port", "state-dir", "tls-cert", "tls-key"]
        )

    def test_every_option(self) -> None:
        """Every flag is there with what it is for and its default, whatever the width; secrets have no flag."""
        for width in (30, 80, 200):
            entries = self.entries(width)
            for option in OPTIONS:
                if option.switch:
                    self.assertEqual(entries[f"--{option.flag}"], option.help)
                elif option.secret:
                    self.assertNotIn(option.flag, usage(width))
                else:
                    self.assertEqual(entries[f"--{option.flag}="], f"{option.help} [default: {default_of(option)}]")

    def test_width(self) -> None:
        """No line is longer than the terminal is wide, and no default is torn apart."""
        for width in (80, 100):
            lines = usage(width).splitlines()
            self.assertEqual([line for line in lines if len(line) > width], [])
            for line in lines:
                self.assertEqual(line.count("["), line.count("]"), line)


class DefaultTests(SynchronousTestCase):
    """L{default_of}."""

    def test_as_written(self) -> None:
        """A default is written as a person would write it, with its unit."""
        written = {option.name: default_of(option) for option in OPTIONS}
        for name, default in {
            "port": "18801", "heartbeat_interval": "30s", "mail_ttl": "7d", "max_message_size": "10MiB",
            "max_database_size": "4GiB", "outbound_limit": "1MiB", "listen": "none", "trusted_proxies": "none",
            "max_connections": "open files less 128", "anonymous_reads": "true", "max_errors": "50",
        }.items():  # fmt: skip
            self.assertEqual(written[name], default, name)

    def test_is_the_default(self) -> None:
        """What is written as a value is read as the default."""
        for option in OPTIONS:
            default = getattr(Config(), option.name)
            if default not in (None, ()):
                self.assertEqual(option.parse(default_of(option)), default, option.name)
