"""Variables that Kubernetes and Docker make for services are told apart from options."""

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.config.file import ConfigError
from cell0gw.config.links import service_links, told
from cell0gw.config.options import load

URL = "tcp://10.96.171.239:18801"

# As Kubernetes makes them for a Service cell0-gateway whose port has a name.
KUBERNETES = {
    "CELL0_GATEWAY_SERVICE_HOST": "10.96.171.239",
    "CELL0_GATEWAY_SERVICE_PORT": "18801",
    "CELL0_GATEWAY_SERVICE_PORT_WS": "18801",
    "CELL0_GATEWAY_PORT": URL,
    "CELL0_GATEWAY_PORT_18801_TCP": URL,
    "CELL0_GATEWAY_PORT_18801_TCP_PROTO": "tcp",
    "CELL0_GATEWAY_PORT_18801_TCP_PORT": "18801",
    "CELL0_GATEWAY_PORT_18801_TCP_ADDR": "10.96.171.239",
}

# As Docker makes them for --link web:cell0_gateway.
DOCKER = {
    "CELL0_GATEWAY_PORT": "tcp://172.17.0.5:18801",
    "CELL0_GATEWAY_PORT_18801_TCP": "tcp://172.17.0.5:18801",
    "CELL0_GATEWAY_PORT_18801_TCP_ADDR": "172.17.0.5",
    "CELL0_GATEWAY_PORT_18801_TCP_PORT": "18801",
    "CELL0_GATEWAY_PORT_18801_TCP_PROTO": "tcp",
    "CELL0_GATEWAY_NAME": "/agent/cell0_gateway",
    "CELL0_GATEWAY_ENV_CELL0_GATEWAY_HOST": "0.0.0.0",
}


class LinkTests(SynchronousTestCase):
    """L{service_links}, and what L{load} makes of them."""

    def test_all(self) -> None:
        """All that either makes are links, and neither options nor warnings."""
        for links in (KUBERNETES, DOCKER):
            self.assertEqual(service_links(links), sorted(links))
            config, warnings = load({}, links)
            self.assertEqual((config.port, warnings), (18801, []))

    def test_other_services(self) -> None:
        """So are those of other services whose names begin alike, or like an option."""
        for service in ("CELL0_GATEWAY_HOST", "CELL0_GATEWAY_METRICS", "CELL0_API"):
            links = {name.replace("CELL0_GATEWAY", service, 1): value for name, value in KUBERNETES.items()}
            self.assertEqual(service_links(links), sorted(links))
            self.assertEqual(load({}, links)[1], [])

    def test_options_beside_them(self) -> None:
        """Options beside them are read, and variables that mean nothing warned of."""
        environment = {**KUBERNETES, "CELL0_GATEWAY_HOST": "::1", "CELL0_GATEWAY_COLOUR": "red"}
        config, warnings = load({}, environment)
        self.assertEqual((config.host, len(warnings)), ("::1", 1))
        self.assertEqual(service_links(environment), sorted(KUBERNETES))

    def test_port_is_the_option(self) -> None:
        """A port that is a number is the option, also beside links: whoever runs it has set it."""
        config, _ = load({}, KUBERNETES | {"CELL0_GATEWAY_PORT": "7"})
        self.assertEqual(config.port, 7)

    def test_no_service(self) -> None:
        """A URL in the place of a port, and no service far and near, is a mistake."""
        self.assertEqual(service_links({"CELL0_GATEWAY_PORT": URL}), [])
        self.assertRaises(ConfigError, load, {}, {"CELL0_GATEWAY_PORT": URL})

    def test_told(self) -> None:
        """One line tells of all of them, by some of their names."""
        self.assertIsNone(told({"CELL0_GATEWAY_HOST": "::1"}))
        line = told(KUBERNETES)
        assert line is not None
        self.assertTrue(line.startswith("8 variables are service links"))
        self.assertIn("CELL0_GATEWAY_PORT,", line)
