"""Origins and hosts."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.origins import is_host, read_origin


class OriginTests(SynchronousTestCase):
    """L{read_origin}."""

    def test_same(self) -> None:
        """Upper case and the port of the scheme make no difference."""
        for one, other in (
            ("https://app.example", "HTTPS://App.Example:443"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://a", "http://a:80"),
        ):
            self.assertEqual(read_origin(one), read_origin(other))

    def test_different(self) -> None:
        """Another scheme, another port, a part of the name or more of it is another origin."""
        origin = read_origin("https://app.example")
        for other in (
            "http://app.example", "https://app.example:8443", "https://app.example.evil.example", "https://evil-app.example",
            "https://example", "https://sub.app.example", "https://app.example.",
        ):  # fmt: skip
            self.assertNotEqual(read_origin(other), origin, other)

    def test_none(self) -> None:
        """What has no scheme or host, or more than that, is no origin."""
        for text in (
            "null",
            "",
            "app.example",
            "https://",
            "https://a/",
            "https://a/x",
            "https://u@a",
            "file://",
            "https://*",
        ):
            self.assertIsNone(read_origin(text), text)


class HostTests(SynchronousTestCase):
    """L{is_host}."""

    def test_hosts(self) -> None:
        """Names and addresses, with a port or without."""
        for text in ("gateway.example", "gateway_1:18801", "127.0.0.1:80", "[2001:db8::1]:80", "LOCALHOST"):
            self.assertTrue(is_host(text), text)
        for text in ("", "a b", "a:b", "a/", "a@b", "::1", "a:123456", "a\n"):
            self.assertFalse(is_host(text), text)
