"""Messages that are no requests, or requests of nothing that there is, and odd ones that are calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602


class Message(NamedTuple):
    """A text message of a session's, and the answer that it gets, as L{reduced} has it; None for none.

    C{written} must stand in the answer as it is, C{unsaid} must not.
    """

    name: str
    sent: str | bytes | Callable[[], str]
    answer: Any
    written: str = ""
    unsaid: str = "\ufffd"
    why: str = ""


def refused(code: int, request_id: Any = None) -> Any:
    """An error."""
    return (code, request_id)


def ok(result: Any, request_id: Any = 1) -> Any:
    """A result."""
    return {"result": result, "id": request_id}


def reduced(message: Any) -> Any:
    """An answer without what every answer has; of errors their number."""
    if isinstance(message, list):
        return [reduced(entry) for entry in message]
    assert message["jsonrpc"] == "2.0", message
    if "error" in message:
        assert {"code", "message", "data"} == set(message["error"]), message
        return (message["error"]["code"], message["id"])
    return {"result": message["result"], "id": message["id"]}


def call(method: str = "rpc.ping", params: str = "", request_id: str = "1", more: str = "") -> str:
    """A request, its parts as they are to be written."""
    between = f',"params":{params}' if params else ""
    return f'{{"jsonrpc":"2.0","method":"{method}"{between},"id":{request_id}{more}}}'


def echo(message: str) -> str:
    """A request that has something relayed."""
    return call("rpc.echo", f'{{"message":{message}}}')


ENVELOPE: Final = (
    Message("an empty object", "{}", refused(INVALID_REQUEST)),
    Message("no version", '{"method":"rpc.ping","id":1}', refused(INVALID_REQUEST, 1)),
    *(
        Message(f"the version {v}", f'{{"jsonrpc":{v},"method":"rpc.ping","id":1}}', refused(INVALID_REQUEST, 1))
        for v in ('"1.0"', "2.0", "2", '"2"', '"2.00"', '" 2.0"', "null", "[]", '["2.0"]')
    ),
    Message("no method", '{"jsonrpc":"2.0","id":1}', refused(INVALID_REQUEST, 1)),
    *(
        Message(f"the method {m}", f'{{"jsonrpc":"2.0","method":{m},"id":1}}', refused(INVALID_REQUEST, 1))
        for m in ("1", "null", "true", "[]", "{}", '["rpc.ping"]')
    ),
    *(
        Message(f"the method {m!r}", call(m), refused(NO_METHOD, 1), written="Method not found: ")
        for m in (
            "",
            ".",
            "rpc",
            "rpc.",
            ".ping",
            "rpc.nosuch",
            "nosuch.ping",
            "rpc.ping.ping",
            "rpc..ping",
            "RPC.ping",
            "rpc.Ping",
            " rpc.ping",
            "rpc.ping ",
            "rpc.ping\\u0000",
            "rpc.ping\\n",
            "rpc.__init__",
            "rpc.__class__",
            "rpc.rpc_ping",
            "rpc._services",
            "rpc.name",
            "rpc.startService",
            "__class__.mro",
            "auth._credentials",
            "rpc.p\\u0456ng",
            "connection.welcome",
            "heartbeat",
            "channel.message",
            "agent.invoke",
            "event",
            "*",
            "rpc.*",
            "a" * 1000,
        )
    ),
    Message("a method of a megabyte", lambda: call("nosuch" * 170_000), refused(NO_METHOD, 1), unsaid="nosuch" * 22),
    Message("an escaped method", call("rpc\\u002eping"), ok("pong")),
    *(
        Message(f"the id {i:.20}", call(request_id=i), refused(INVALID_REQUEST))
        for i in ("{}", "[]", "[1]", '{"a":1}', "true", "false", '"' + "a" * 127 + '"', "1" * 129, "1." + "0" * 127)
    ),
    *(
        Message(f"the id {i:.20}", call(request_id=i), ..., written=f'"id":{i}')
        for i in (
            "0",
            "-1",
            "1.5",
            "1.50",
            "1e2",
            "1E+2",
            "1e400",
            "9007199254740993",
            '""',
            '"1"',
            '"\\u0000"',
            '"\\u2028"',
            '"\u00e9"',
            '"\\/"',
            '"' + "a" * 126 + '"',
            "1" * 128,
        )
    ),
    Message("the id null", call(request_id="null"), ok("pong", None), why="a request, not a notification"),
    *(
        Message(f"params {p}", call("rpc.echo", p), refused(INVALID_REQUEST, 1))
        for p in ("1", '"a"', "null", "true", "1.5")
    ),
    Message("params by position", call("rpc.echo", '["a"]'), ok("a")),
    Message("too many by position", call("rpc.echo", '["a","b"]'), refused(INVALID_PARAMS, 1)),
    Message("too few by position", call("rpc.echo", "[]"), refused(INVALID_PARAMS, 1)),
    Message("of the wrong type by position", call("channel.subscribe", "[1]"), refused(INVALID_PARAMS, 1)),
    Message("none where one is needed", call("rpc.echo"), refused(INVALID_PARAMS, 1), written="message"),
    Message("some where there are none", call("rpc.ping", '{"a":1}'), refused(INVALID_PARAMS, 1), written="params.a"),
    Message(
        "a name too many",
        call("rpc.echo", '{"message":1,"mesage":"private"}'),
        refused(INVALID_PARAMS, 1),
        written="mesage",
        unsaid="private",
    ),
    Message(
        "a name too many of controls", call("rpc.echo", '{"\\u001b[31m":1}'), refused(INVALID_PARAMS, 1), unsaid="\x1b"
    ),
    Message(
        "a thousand names too many",
        call("rpc.ping", "{" + ",".join(f'"n{n}":{n}' for n in range(1000)) + "}"),
        refused(INVALID_PARAMS, 1),
    ),
    Message("the name of the caller", call("rpc.echo", '{"message":1,"caller":"admin"}'), refused(INVALID_PARAMS, 1)),
    Message("a member that means nothing", call(more=',"auth":"admin","params_":{}'), ok("pong")),
    Message(
        "two methods",
        '{"jsonrpc":"2.0","method":"auth.generateToken","method":"rpc.ping","id":1}',
        ok("pong"),
        why="the last counts",
    ),
    Message(
        "two methods, the other way",
        '{"jsonrpc":"2.0","method":"rpc.ping","method":"rpc.nosuch","id":1}',
        refused(NO_METHOD, 1),
    ),
    Message("two ids", call(more=',"id":2'), ok("pong", 2)),
    Message("two versions", call(more=',"jsonrpc":"1.0"'), refused(INVALID_REQUEST, 1)),
    Message("two params", call("rpc.echo", '["a"]', more=',"params":["b"]'), ok("b")),
    Message("one param twice", call("rpc.echo", '{"message":"a","message":"b"}'), ok("b")),
    Message("members in another case", '{"JSONRPC":"2.0","Method":"rpc.ping","ID":1}', refused(INVALID_REQUEST)),
    Message("escaped members", '{"json\\u0072pc":"2.0","m\\u0065thod":"rpc.ping","\\u0069d":1}', ok("pong")),
)

NOTIFICATION: Final = '{"jsonrpc":"2.0","method":"%s"%s}'
UNANSWERED: Final = (
    Message("a notification of an unknown method", NOTIFICATION % ("rpc.nosuch", ""), None),
    Message("a notification with bad params", NOTIFICATION % ("rpc.ping", ',"params":[1]'), None),
    Message("a notification of what is forbidden", NOTIFICATION % ("gateway.getStats", ""), None),
    Message("a notification of a call", NOTIFICATION % ("rpc.ping", ""), None),
    Message("a heartbeat with any params", NOTIFICATION % ("heartbeat", ',"params":{"a":[1,{}]}'), None),
    Message("a result that nobody awaits", '{"jsonrpc":"2.0","result":1,"id":"x"}', None),
    Message("a result without an id", '{"jsonrpc":"2.0","result":1}', None),
    Message("a result to a number", '{"jsonrpc":"2.0","result":1,"id":1}', None),
    Message("an error that nobody awaits", '{"jsonrpc":"2.0","error":{"code":1,"message":""},"id":"x"}', None),
    Message("an error that is none", '{"jsonrpc":"2.0","error":7,"id":null}', None),
    Message("a result and an error", '{"jsonrpc":"2.0","result":1,"error":{"code":1},"id":"x"}', None),
    Message(
        "a batch of notifications", f"[{NOTIFICATION % ('rpc.ping', '')},{NOTIFICATION % ('rpc.nosuch', '')}]", None
    ),
    Message(
        "a batch of results", '[{"jsonrpc":"2.0","result":1,"id":"x"},{"jsonrpc":"2.0","result":1,"id":"y"}]', None
    ),
)

BATCHES: Final = (
    Message("an empty batch", "[]", refused(INVALID_REQUEST)),
    Message("a batch of numbers", "[1,2,3]", [refused(INVALID_REQUEST)] * 3),
    Message("a batch of null", "[null]", [refused(INVALID_REQUEST)]),
    Message("a batch in a batch", f"[[{call()}]]", [refused(INVALID_REQUEST)]),
    Message("an empty batch in a batch", f"[[],{call()}]", [refused(INVALID_REQUEST), ok("pong")]),
    Message(
        "as long as can be",
        "[" + ",".join(call(request_id=str(n)) for n in range(50)) + "]",
        [ok("pong", n) for n in range(50)],
    ),
    Message("one longer", "[" + ",".join([call()] * 51) + "]", refused(INVALID_REQUEST), written='"max_batch":50'),
    Message("a hundred thousand numbers", "[" + "1," * 100_000 + "1]", refused(INVALID_REQUEST)),
    Message(
        "as many of what never ends in a number",
        "[" + ",".join(f"{n * (2**61 - 1)}" for n in range(60_000)) + "]",
        refused(INVALID_REQUEST),
    ),
    Message(
        "of all kinds",
        f"[{call()},{NOTIFICATION % ('rpc.ping', '')},1,{{}},{call('rpc.nosuch')},{call('gateway.getStats', '', '2')}]",
        [ok("pong"), refused(INVALID_REQUEST), refused(INVALID_REQUEST), refused(NO_METHOD, 1), refused(-32002, 2)],
    ),
    Message("one id twice", f"[{call()},{call()}]", [ok("pong"), ok("pong")]),
    Message(
        "ids whose hashes are all the same",
        "[" + ",".join(call(request_id=str(n * (2**61 - 1))) for n in range(50)) + "]",
        [ok("pong", n * (2**61 - 1)) for n in range(50)],
    ),
)

MESSAGES: Final = (*ENVELOPE, *UNANSWERED, *BATCHES)
