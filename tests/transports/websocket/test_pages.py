"""What the port answers to requests that ask for no WebSocket."""

from __future__ import annotations

import re
from base64 import b64encode
from email.message import Message
from hashlib import sha256
from html.parser import HTMLParser
from importlib.metadata import PackageNotFoundError
from unittest.mock import patch

import cell0gw
from cell0gw.testing import MemoryGateway
from cell0gw.transports.websocket import pages
from cell0gw.transports.websocket.pages import documentation, front_page
from cell0gw.transports.websocket.refusals import REFUSALS
from tests.transports.websocket.test_admission import Case
from tests.transports.websocket.test_handshake import request

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PROBES = {
    "a browser's": b"GET /health HTTP/1.1\r\nHost: gateway.example\r\nAccept: text/html\r\n\r\n",
    "HAProxy's": b"GET /health HTTP/1.0\r\n\r\n",
    "Kubernetes'": b"GET /health HTTP/1.1\r\nHost: 10.0.0.7:18801\r\nUser-Agent: kube-probe/1.31\r\n\r\n",
    "one with an absolute target": b"GET http://10.0.0.7/health HTTP/1.1\r\nHost: 10.0.0.7\r\n\r\n",
    "one that would upgrade": request("GET /health HTTP/1.1"),
}


class PageCase(Case):
    """A gateway that is asked by HTTP."""

    def ask(self, gateway: MemoryGateway, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """The response to a request, after which there is nothing more: status, fields, body."""
        server, transport = self.come(gateway, data)
        head, _, body = transport.value().partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.assertTrue(transport.ended)
        server.dataReceived(data)
        self.assertEqual(transport.value(), head + b"\r\n\r\n" + body)
        server.abort()
        return int(first.split(" ")[1]), dict(line.split(": ", 1) for line in lines), body


class HealthTests(PageCase):
    """GET /health."""

    def test_well(self) -> None:
        """Probes of all kinds get 200 and a word; those by HEAD are told how long it is."""
        gateway = self.make()
        for name, data in PROBES.items():
            status, fields, body = self.ask(gateway, data)
            self.assertEqual((status, body), (200, b"ok\n"), name)
            self.assertEqual((fields["Connection"], fields["Content-Length"]), ("close", "3"), name)
            self.assertEqual(fields["Cache-Control"], "no-store")
            self.assertEqual(self.ask(gateway, data.replace(b"GET", b"HEAD", 1)), (200, fields, b""), name)
        self.assertEqual((len(gateway.guard.connections), gateway.guard.connections.arriving()), (0, []))

    def test_logs(self) -> None:
        """A log whose lines are dropped is no reason to send clients elsewhere; with something else it is."""
        gateway = self.make()
        for name in ("log", "audit"):
            gateway.health.report(name, "dropped", "lines are missing")
        self.assertEqual(gateway.health.status, "degraded")
        self.assertEqual(self.ask(gateway, PROBES["HAProxy's"])[::2], (200, b"ok\n"))
        gateway.health.storage("full")
        self.assertEqual(self.ask(gateway, PROBES["HAProxy's"])[::2], (503, b"degraded\n"))
        gateway.health.storage(None)
        self.assertEqual(self.ask(gateway, PROBES["HAProxy's"])[::2], (200, b"ok\n"))
        gateway.health.drain(True)
        self.assertEqual(self.ask(gateway, PROBES["HAProxy's"])[::2], (503, b"draining\n"))

    def test_degraded(self) -> None:
        """As long as something is wrong it is 503, with a word that says no more than that."""
        gateway = self.make()
        gateway.health.report("storage", "full", "The database can't be written")
        self.assertEqual(self.ask(gateway, PROBES["HAProxy's"])[::2], (503, b"degraded\n"))
        gateway.health.clear("storage")
        self.assertEqual(self.ask(gateway, PROBES["HAProxy's"])[::2], (200, b"ok\n"))

    def test_draining(self) -> None:
        """A gateway that goes down says so to probes that have a socket still."""
        gateway = self.make()
        gateway.drain()
        self.assertEqual(self.ask(gateway, PROBES["HAProxy's"])[::2], (503, b"draining\n"))

    def test_by_any_name(self) -> None:
        """A probe may call the gateway by an address that is not in allowed_hosts, and come from any page."""
        gateway = self.make(allowed_hosts=("gateway.example",), allowed_origins=("https://app.example.com",))
        for name, data in PROBES.items():
            self.assertEqual(self.ask(gateway, data)[0], 200, name)

    def test_full(self) -> None:
        """A gateway that has no room for another connection is well, and says so."""
        gateway = self.make(max_connections=1)
        self.come(gateway, request())
        self.assertEqual(self.ask(gateway, PROBES["HAProxy's"])[0], 200)

    def test_no_other_path(self) -> None:
        """Nothing is at paths that look like it, and nothing is done by other methods."""
        for line, cause in (
            ("GET /health/ HTTP/1.1", "path"), ("GET /healthz HTTP/1.1", "path"), ("GET /health?x=1 HTTP/1.1", "query"),
            ("POST /health HTTP/1.1", "method"), ("OPTIONS /health HTTP/1.0", "method"),
            ("GET /health HTTP/2.0", "http_version"),
        ):  # fmt: skip
            status, _, body = self.ask(self.make(), request(line))
            self.assertEqual((status, body.decode()), (REFUSALS[cause].status, REFUSALS[cause].reason + "\n"), line)

    def test_well_formed(self) -> None:
        """A probe that two parsers could read in two ways is refused as any request is."""
        for data in (
            b"GET /health HTTP/1.1\r\n\r\n", b"GET /health HTTP/1.0\r\nHost: a b\r\n\r\n",
            b"GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", b"GET /health HTTP/1.0\r\nContent-Length: 1\r\n\r\n",
        ):  # fmt: skip
            self.assertEqual(self.ask(self.make(), data)[0], 400, data)


class Elements(HTMLParser):
    """What a page is made of.

    @ivar tags: the names of its elements.
    @ivar links: all that its attributes point to.
    @ivar handlers: attributes that are scripts or styles.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links |= {value or "" for name, value in attrs if name in ("href", "src", "srcset", "data", "action")}
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]


class FrontPageTests(PageCase):
    """GET / by a browser."""

    def page(self) -> tuple[dict[str, str], str]:
        """What a browser gets: fields, and the page."""
        status, fields, body = self.ask(self.make(), request(Upgrade=None, Connection=None, Accept=BROWSER))
        self.assertEqual(status, 200)
        return fields, body.decode()

    def test_who_gets_it(self) -> None:
        """Clients that want HTML get the page, by HTTP/1.0, too; all others are told that this is for WebSockets."""
        for accept, status in (
            (BROWSER, 200), ("text/html", 200), ("TEXT/HTML;level=1", 200), ("image/png, text/html;q=0.5", 200),
            ("*/*", 426), ("text/html;q=0", 426), ("text/html; q=0.000", 426), ("text/htmlx", 426), ("", 426),
            ("text/plain;x=text/html", 426), (None, 426),
        ):  # fmt: skip
            for line in ("GET / HTTP/1.1", "GET /ws HTTP/1.1", "HEAD / HTTP/1.1"):
                asked = request(line, Upgrade=None, Accept=accept)
                self.assertEqual(self.ask(self.make(), asked)[0], status, (line, accept))
            old = request("GET / HTTP/1.0", Host=None, Accept=accept)
            self.assertEqual(self.ask(self.make(), old)[0], 505 if status == 426 else status, accept)

    def test_upgrades(self) -> None:
        """Who asks for a WebSocket gets one, whatever else it accepts; an upgrade to something else is ignored."""
        for path in ("/", "/ws"):
            self.assertEqual(self.status(self.make(), request(f"GET {path} HTTP/1.1", Accept=BROWSER)), 101)
        self.assertEqual(self.ask(self.make(), request(Upgrade="h2c", Accept=BROWSER))[0], 200)
        self.assertEqual(self.ask(self.make(), request("GET /other HTTP/1.1", Upgrade=None, Accept=BROWSER))[0], 404)

    def test_head(self) -> None:
        """HEAD gets the same without the page."""
        fields, page = self.page()
        asked = request("HEAD / HTTP/1.1", Upgrade=None, Accept=BROWSER)
        self.assertEqual(self.ask(self.make(), asked), (200, fields, b""))
        self.assertEqual(fields["Content-Length"], str(len(page.encode())))

    def test_hosts(self) -> None:
        """Who calls the gateway by a name that it has not gets no page."""
        gateway = self.make(allowed_hosts=("gateway.example",))
        for host, status in (("gateway.example:18801", 200), ("attacker.example", 403)):
            self.assertEqual(self.ask(gateway, request(Upgrade=None, Accept=BROWSER, Host=host))[0], status)

    def test_content(self) -> None:
        """It says what this is, which version, and how to connect; nothing is left to be filled in."""
        _, page = self.page()
        for said in ("Cell 0 OS Gateway", cell0gw.__version__, "auth.authenticate", "new WebSocket(location.href"):
            self.assertIn(said, page)
        self.assertNotRegex(page, r"\$\w")

    def test_documentation(self) -> None:
        """It links to the documentation that the metadata of the package names; without any it names the folder."""
        said = Message()
        for url in ("Homepage, https://a.example", "Documentation, https://a.example/docs?a=1&b=2"):
            said["Project-URL"] = url
        for found, shown in (
            ({"return_value": said}, '<a href="https://a.example/docs?a=1&amp;b=2">'),
            ({"return_value": Message()}, "the folder docs"),
            ({"side_effect": PackageNotFoundError}, "the folder docs"),
        ):  # fmt: skip
            with patch.object(pages, "metadata", **found):
                self.assertIn(shown, front_page.__wrapped__().body.decode())

    def test_loads_nothing(self) -> None:
        """It has no script, no form and nothing from elsewhere: its links are the documentation and the health."""
        _, page = self.page()
        found = Elements(page)
        self.assertEqual(found.tags & {"script", "form", "iframe", "object", "embed", "img", "base"}, set())
        links = {link for link in found.links if not link.startswith("data:")}
        self.assertEqual(links - {documentation()}, {"/health"})
        self.assertEqual(found.handlers, [])
        self.assertNotIn("url(", page)

    def test_policy(self) -> None:
        """A browser is told to load nothing and to connect to the gateway only; a hash allows the one style."""
        fields, page = self.page()
        policy = dict(rule.split(" ", 1) for rule in fields["Content-Security-Policy"].split("; "))
        (style,) = re.findall("<style>(.*?)</style>", page, re.DOTALL)
        digest = b64encode(sha256(style.encode()).digest()).decode()
        self.assertEqual((policy["default-src"], policy["connect-src"]), ("'none'", "'self'"))
        self.assertEqual((policy["style-src"], policy["img-src"]), (f"'sha256-{digest}'", "data:"))
        self.assertEqual({policy[name] for name in ("base-uri", "form-action", "frame-ancestors")}, {"'none'"})
        self.assertEqual(fields["Content-Type"], "text/html; charset=utf-8")
        self.assertEqual((fields["X-Content-Type-Options"], fields["Referrer-Policy"]), ("nosniff", "no-referrer"))

    def test_read_once(self) -> None:
        """The file is read when the gateway is made, not when somebody asks."""
        front_page.cache_clear()
        gateway = self.make()
        with patch.object(pages, "files", side_effect=OSError):
            self.assertEqual(self.ask(gateway, request(Upgrade=None, Accept=BROWSER))[0], 200)
