"""permessage-deflate, from the handshake to messages of megabytes."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate

from tests.e2e.clients import Client, RawClient
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, GatewayProcess, environment, run_to_end

MEGABYTE = 1024 * 1024


def texts() -> list[str]:
    """Messages that compress well and badly, short and long."""
    noise = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz \u00e4\u20ac\U0001f600"
    return ["", "short", "x" * 3 * MEGABYTE, "".join(noise.choices(letters, k=MEGABYTE)), "again " * 10_000]


def exchange(client: Client) -> None:
    """Send each of the texts and get it back, by an answer and by a publication."""
    client.call("channel.subscribe", channel="events")
    for text in texts():
        assert client.call("rpc.echo", message={"text": text}) == {"text": text}
        client.call("channel.publish", channel="events", message=text)
        assert client.notification("channel.message")["message"] == text


@pytest.mark.parametrize(
    "offer",
    [
        {},
        {"client_max_window_bits": 10, "server_max_window_bits": 10},
        {"client_no_context_takeover": True, "server_no_context_takeover": True},
        {"client_max_window_bits": 15, "server_max_window_bits": 15, "server_no_context_takeover": True},
    ],
)
def test_big_messages_both_ways(gateway: GatewayProcess, offer: dict[str, int]) -> None:
    """Whatever a client offers, messages of megabytes arrive unchanged in both directions, compressed."""
    factory = ClientPerMessageDeflateFactory(**offer)
    with Client(gateway, ADMIN_TOKEN, compression=None, extensions=[factory]) as client:
        assert [type(extension) for extension in client.connection.protocol.extensions] == [PerMessageDeflate]
        exchange(client)


def test_by_default_it_is_agreed_on(gateway: GatewayProcess) -> None:
    """A client that offers permessage-deflate gets it, and one that doesn't does not."""
    with Client(gateway) as client:
        assert "permessage-deflate" in client.connection.response.headers["Sec-WebSocket-Extensions"]
    with Client(gateway, compression=None) as client:
        assert "Sec-WebSocket-Extensions" not in client.connection.response.headers


def test_a_long_answer_is_smaller_on_the_wire(gateway: GatewayProcess) -> None:
    """A megabyte of one letter crosses the wire as kilobytes."""
    with RawClient(gateway, extensions=[ClientPerMessageDeflateFactory()]) as raw:
        raw.call("auth.authenticate", token=ADMIN_TOKEN)
        before = raw.received
        assert raw.call("rpc.echo", message="x" * MEGABYTE) == "x" * MEGABYTE
        assert raw.received - before < 16 * 1024


def test_switched_off(start_gateway: StartGateway) -> None:
    """With --no-compression nothing is agreed on, and messages of megabytes arrive all the same."""
    gateway = start_gateway("--no-compression")
    with Client(gateway, ADMIN_TOKEN) as client:
        assert "Sec-WebSocket-Extensions" not in client.connection.response.headers
        exchange(client)


MOJOLICIOUS = r"""
use Mojo::Base -strict;
use Mojo::JSON qw(decode_json encode_json);
use Mojo::UserAgent;
my ($url, $token) = @ARGV;
my $ua = Mojo::UserAgent->new;
my $count = 0;
$ua->websocket($url => {'Sec-WebSocket-Extensions' => 'permessage-deflate'} => sub {
  my ($ua, $tx) = @_;
  die 'not compressed' unless $tx->is_websocket && $tx->compressed;
  my $say = sub { $tx->send(encode_json({jsonrpc => '2.0', method => $_[0], params => $_[1], id => $_[2]})) };
  $tx->on(message => sub {
    my $message = decode_json($_[1]);
    return unless $message->{id};
    die encode_json($message->{error}) if $message->{error};
    say "answered $message->{id}";
    return $tx->finish if ++$count > 20;
    $say->('rpc.echo', {message => "this is message number $count"}, "echo $count");
  });
  $tx->on(finish => sub { say "closed $_[1]"; Mojo::IOLoop->stop });
  $say->('auth.authenticate', {token => $token}, 'first');
});
Mojo::IOLoop->start;
"""


def has_mojolicious() -> bool:
    """Whether Perl has it."""
    if shutil.which("perl") is None:
        return False
    return not subprocess.run(["perl", "-MMojo::UserAgent", "-e1"], capture_output=True, check=False).returncode


@pytest.mark.skipif(not has_mojolicious(), reason="Mojolicious is not installed: libmojolicious-perl of Debian")
def test_mojolicious(gateway: GatewayProcess, tmp_path: Path) -> None:
    """Mojolicious, which keeps its context whatever it is told, is answered each time."""
    done = run_to_end(["perl", "-e", MOJOLICIOUS, gateway.url, ADMIN_TOKEN], environment(), tmp_path)
    assert done.output.splitlines() == ["answered first", *(f"answered echo {n}" for n in range(1, 21)), "closed 1005"]
