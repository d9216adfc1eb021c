"""JSON-RPC 2.0, as bytes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol import jsonrpc
from cell0gw.protocol.errors import InvalidRequest, ParseError, RPCError
from cell0gw.protocol.jsonrpc import MANY, NotARequest, Request, Response
from cell0gw.protocol.limits import MAX_BRACKETS, MAX_DEPTH, MAX_ID_LENGTH, Limits
from cell0gw.rpc.access import anyone
from cell0gw.rpc.dispatch import Dispatcher
from cell0gw.sessions.session import Caller
from tests.guard.guards import quiet_guard, quiet_sessions


class Examples(Service):
    """The methods of the specification's examples, in a namespace, since every method here has one."""

    name = "example"

    @anyone
    def rpc_subtract(self, caller: Caller, *, minuend: int, subtrahend: int) -> int:
        return minuend - subtrahend

    @anyone
    def rpc_update(self, caller: Caller, *, a: Raw, b: Raw, c: Raw, d: Raw, e: Raw) -> None:
        return None

    @anyone
    def rpc_notify(self, caller: Caller, *, value: Raw) -> None:
        return None

    @anyone
    def rpc_sum(self, caller: Caller, *, a: int, b: int, c: int) -> int:
        return a + b + c

    @anyone
    def rpc_get_data(self, caller: Caller) -> list[Any]:
        return ["hello", 5]


INVALID = {"code": -32600, "id": None}
# Section 7 of the specification, in its order: what is sent, what comes back (errors: by code and id).
SECTION_7: list[tuple[str, Any]] = [
    ('{"jsonrpc": "2.0", "method": "example.subtract", "params": [42, 23], "id": 1}', {"result": 19, "id": 1}),
    ('{"jsonrpc": "2.0", "method": "example.subtract", "params": [23, 42], "id": 2}', {"result": -19, "id": 2}),
    (
        '{"jsonrpc": "2.0", "method": "example.subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}',
        {"result": 19, "id": 3},
    ),
    (
        '{"jsonrpc": "2.0", "method": "example.subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}',
        {"result": 19, "id": 4},
    ),
    ('{"jsonrpc": "2.0", "method": "example.update", "params": [1,2,3,4,5]}', None),
    ('{"jsonrpc": "2.0", "method": "foobar"}', None),
    ('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', {"code": -32601, "id": "1"}),
    ('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', {"code": -32700, "id": None}),
    ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', INVALID),
    (
        '[{"jsonrpc": "2.0", "method": "example.sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]',
        {"code": -32700, "id": None},
    ),
    ("[]", INVALID),
    ("[1]", [INVALID]),
    ("[1,2,3]", [INVALID, INVALID, INVALID]),
    (
        '[{"jsonrpc": "2.0", "method": "example.sum", "params": [1,2,4], "id": "1"},'
        ' {"jsonrpc": "2.0", "method": "example.notify", "params": [7]},'
        ' {"jsonrpc": "2.0", "method": "example.subtract", "params": [42,23], "id": "2"},'
        ' {"foo": "boo"},'
        ' {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},'
        ' {"jsonrpc": "2.0", "method": "example.get_data", "id": "9"}]',
        [
            {"result": 7, "id": "1"},
            {"result": 19, "id": "2"},
            INVALID,
            {"code": -32601, "id": "5"},
            {"result": ["hello", 5], "id": "9"},
        ],
    ),
    (
        '[{"jsonrpc": "2.0", "method": "example.notify", "params": [1]},'
        ' {"jsonrpc": "2.0", "method": "example.notify", "params": [7]}]',
        None,
    ),
]


def summary(answer: Any) -> Any:
    """An answer without what every answer has, an error reduced to its code."""
    if isinstance(answer, list):
        return [summary(entry) for entry in answer]
    assert answer.pop("jsonrpc") == "2.0"
    return {"code": answer["error"]["code"], "id": answer["id"]} if "error" in answer else answer


def decoded(payload: bytes | str) -> Any:
    return jsonrpc.decode(payload.encode() if isinstance(payload, str) else payload, max_batch=50)


class SpecificationTests(SynchronousTestCase):
    """https://www.jsonrpc.org/specification"""

    def setUp(self) -> None:
        services = MultiService()
        Examples().setServiceParent(services)
        self.dispatcher = Dispatcher(services, quiet_guard(Limits()), quiet_sessions(), lambda session, response: None)

    def test_section_7(self) -> None:
        """Every example of section 7 is answered as it is there."""
        for sent, expected in SECTION_7:
            answer = self.dispatcher.dispatch(Caller(), sent.encode())
            assert not isinstance(answer, Deferred)
            self.assertEqual(None if answer is None else summary(json.loads(answer)), expected, sent)

    def test_ids_are_echoed(self) -> None:
        """An id of any legal kind comes back byte for byte."""
        for raw in ("1", "-7", "0", "1.0", "1.50", "1e2", '"x"', '""', '"\\u00e9"', "null", "12345678901234567890123"):
            answer = self.dispatcher.dispatch(
                Caller(), f'{{"id": {raw} , "method":"example.get_data","jsonrpc":"2.0"}}'.encode()
            )
            self.assertEqual(answer, b'{"jsonrpc":"2.0","result":["hello",5],"id":%b}' % raw.encode(), raw)

    def test_params(self) -> None:
        """Too few, too many, unknown and mistyped params are -32602, by name and by position."""
        for params in ("[1]", "[1,2,3]", '["a",2]', "[]", "{}", '{"minuend":1}', '{"minuend":1,"subtrahend":"2"}',
                       '{"minuend":1,"subtrahend":2,"x":3}', '{"minuend":null,"subtrahend":2}', "[1.5,2]"):  # fmt: skip
            sent = f'{{"jsonrpc":"2.0","method":"example.subtract","params":{params},"id":1}}'
            answer = self.dispatcher.dispatch(Caller(), sent.encode())
            assert isinstance(answer, bytes)
            self.assertEqual(json.loads(answer)["error"]["code"], -32602, params)

    def test_result_is_null(self) -> None:
        """A method without a result answers null, which is a result."""
        answer = self.dispatcher.dispatch(Caller(), b'{"jsonrpc":"2.0","method":"example.notify","params":[1],"id":1}')
        self.assertEqual(answer, b'{"jsonrpc":"2.0","result":null,"id":1}')


class DecodeTests(SynchronousTestCase):
    """What is read from bytes."""

    def refusal(self, payload: bytes | str) -> RPCError:
        entry = decoded(payload)
        assert isinstance(entry, NotARequest), entry
        assert entry.error is not None
        return entry.error

    def test_not_json(self) -> None:
        """Whatever is not JSON is a parse error."""
        for payload in (b"", b" ", b"{", b"[", b"]", b"nul", b"\xff", b'"\xff"', b'{"a":"\xc0\xaf"}', b"1 2", b"{}x",
                        b"NaN", b"-", b"'a'", b"\xef\xbb\xbf{}", b"{}\x00", b"[1,]", b'{"a":1,}', b'{"a" 1}',
                        b'{"jsonrpc":"2.0","method":"m","params":[NaN]}', b'"\xed\xa0\x80"'):  # fmt: skip
            self.assertRaises(ParseError, decoded, payload)

    def test_where_it_is_no_json(self) -> None:
        """A parse error says what is wrong, and at which byte, in the message and in its data."""
        for payload, what, byte in (
            (b"hello", "invalid character", 0), (b"{a:1}", "object keys must be strings", 1),
            (b'{"a" 1}', "expected ':'", 5), (b'{"a":1,}', "trailing comma in object", 7),
            (b'{"a":1}x', "something follows the end of the JSON", 7), (b'{"a":01}', "invalid number", 6),
            (b'{"jsonrpc":"2.0"', "the message ends too early", 16), (b"", "the message is empty", 0),
            (b"[1,", "the message ends too early", 3), (b"[1 2]", "expected ',' or ']'", 3),
            (b"\xef\xbb\xbf{}", "the message begins with a byte order mark", 0), (b'{"a":"\xff"}', "not UTF-8", 6),
            (b'"\\ud800"', "the message ends too early, or an escape is half of a surrogate pair", None),
        ):  # fmt: skip
            error = self.assertRaises(ParseError, decoded, payload)
            where = "" if byte is None else f" (byte {byte})"
            self.assertEqual(error.message, f"Parse error: {what}{where}", payload)
            self.assertEqual(error.data, {} if byte is None else {"byte": byte}, payload)

    def test_no_request(self) -> None:
        """JSON that is no request is an invalid one, and says why."""
        for payload, reason in (
            ("1", "not an object"), ("null", "not an object"), ('"abc"', "not an object"), ("true", "not an object"),
            ("{}", "jsonrpc"), ('{"jsonrpc":"1.0","method":"m"}', "jsonrpc"),
            ('{"jsonrpc":2.0,"method":"m"}', "jsonrpc"),
            ('{"jsonrpc":"2.0"}', "method"), ('{"jsonrpc":"2.0","method":1}', "method"),
            ('{"jsonrpc":"2.0","method":"m","params":"x"}', "params"),
            ('{"jsonrpc":"2.0","method":"m","params":null}', "params"),
            ('{"jsonrpc":"2.0","method":"m","id":[]}', "id"), ('{"jsonrpc":"2.0","method":"m","id":{}}', "id"),
            ('{"jsonrpc":"2.0","method":"m","id":true}', "id"),
            (f'{{"jsonrpc":"2.0","method":"m","id":"{"x" * MAX_ID_LENGTH}"}}', "id"), ("1e400", "not an object"),
            ("9" * 10_000, "not an object"),
        ):  # fmt: skip
            error = self.refusal(payload)
            self.assertIsInstance(error, InvalidRequest)
            self.assertIn(reason, error.message, payload)

    def test_id_of_no_request(self) -> None:
        """The answer to an invalid request carries its id when that can be made out."""
        self.assertEqual(decoded('{"jsonrpc":"1.0","id":"a","method":"m"}').id, b'"a"')
        self.assertEqual(decoded('{"jsonrpc":"1.0","id":[],"method":"m"}').id, b"null")

    def test_responses_are_not_answered(self) -> None:
        """A response that nobody awaits gets no error, which would be a response that nobody awaits."""
        for payload in ('{"jsonrpc":"2.0","result":1,"id":1}', '{"jsonrpc":"2.0","error":{},"id":1}'):
            self.assertIsNone(decoded(payload).error)

    def test_last_member_wins(self) -> None:
        """Of two members of one name the last counts."""
        self.assertEqual(decoded('{"jsonrpc":"2.0","method":"a","method":"b","id":1}').method, "b")

    def test_last_member_wins_whatever_the_first_is(self) -> None:
        """It counts even if the first one is of a type that it may not be."""
        for payload in (
            '{"jsonrpc":1,"jsonrpc":"2.0","method":"m","params":[1],"id":1}',
            '{"jsonrpc":"2.0","method":[],"method":"m","params":1,"params":[1],"id":{},"id":1}',
        ):
            self.assertEqual(decoded(payload), Request("m", b"[1]", b"1"))
        self.assertEqual(decoded('{"jsonrpc":1,"jsonrpc":"2.0","method":"m"}'), Request("m"))

    def test_batch_limit(self) -> None:
        """A batch has as many entries as allowed, and not one more."""
        self.assertEqual(len(jsonrpc.decode(b"[1,2]", max_batch=2)), 2)  # type: ignore[arg-type]
        self.assertRaises(InvalidRequest, jsonrpc.decode, b"[1,2,3]", 2)

    def test_long_batch(self) -> None:
        """Of a batch that is long the entries are the same, and those of one beyond the limit are not kept."""
        params = "[" + ",".join(["1"] * MANY) + "]"
        entry = f'{{"jsonrpc":"2.0","method":"m","params":{params},"id":1}}'
        few = decoded(f" [{entry}, 1,[],{entry}]")
        self.assertEqual([type(one) for one in few], [Request, NotARequest, NotARequest, Request])
        self.assertEqual(few[3].params, params.encode())
        for beyond in ("[" + ",".join([entry] * 51) + "]", params):
            self.assertRaises(InvalidRequest, decoded, beyond)
        for no_json in (f"[{entry}", f"[{entry}]]", f"[{entry},]", params[:-1] + ",tru]", params[:-1] + ',"\\ud800"]'):
            self.assertRaises(ParseError, decoded, no_json)

    def test_long_params(self) -> None:
        """Long params are not copied, unless as much else would be kept with them."""
        for junk, copied in ((10, False), (50_000, True)):
            params = f'{{"message":"{"é" * 100_000}"}}'
            text = f'{{"jsonrpc":"2.0","junk":"{"x" * junk}","method":"m","params":{params},"id":1}}'
            request = decoded(text)
            assert isinstance(request, Request)
            self.assertEqual(bytes(request.params), params.encode())
            self.assertEqual(isinstance(request.params, bytes), copied)

    def test_depth(self) -> None:
        """Brackets nest up to the limit; those in strings don't count."""

        def nested(depth: int, text: str = "") -> str:
            return f'{{"jsonrpc":"2.0","method":"m","params":{"[" * depth}"{text}"{"]" * depth}}}'

        self.assertIsInstance(decoded(nested(MAX_DEPTH - 1)), Request)
        self.assertRaises(ParseError, decoded, nested(MAX_DEPTH))
        self.assertRaises(ParseError, decoded, '{"a":[' * MAX_DEPTH + "]}" * MAX_DEPTH)
        self.assertIsInstance(decoded(nested(3, text='[{\\"' * 1000)), Request)
        self.assertIsInstance(decoded(f'{{"jsonrpc":"2.0","method":"m","params":[{"[],{}," * 500}1]}}'), Request)

    def test_brackets(self) -> None:
        """A message may have so many opening brackets and braces, and no more, wherever they are."""
        for text, fits in (("[],", MAX_BRACKETS - 2), ("{},", MAX_BRACKETS - 2)):
            self.assertIsInstance(decoded(f'{{"jsonrpc":"2.0","method":"m","params":[{text * fits}1]}}'), Request)
            with self.assertRaisesRegex(ParseError, "more than 500000 opening brackets"):
                decoded(f'{{"jsonrpc":"2.0","method":"m","params":[{text * (fits + 1)}1]}}')

    def test_deep_bombs(self) -> None:
        """Nesting beyond every stack is an error like any other."""
        for bomb in (
            b"[" * 1_000_000,
            b'{"a":' * 200_000,
            b"[" * 100_000 + b"]" * 100_000,
            b'"' + b'\\"' * 500_000 + b"[" * 99,
        ):
            self.assertRaises(ParseError, decoded, bomb)

    @given(st.binary(max_size=300))
    def test_any_bytes(self, payload: bytes) -> None:
        """Any bytes at all end in a request or in one of two errors."""
        try:
            entry = decoded(payload)
        except (ParseError, InvalidRequest):
            return
        self.assertIsInstance(entry, (Request, Response, NotARequest, list))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
            max_leaves=30,
        )
    )
    def test_params_are_relayed_verbatim(self, value: Any) -> None:
        """Params arrive as the very bytes that were sent."""
        params = json.dumps([value]).encode()
        request = decoded(b'{"jsonrpc":"2.0","method":"m","params":%b}' % params)
        if isinstance(request, Request):  # integers beyond msgspec's range make none
            self.assertEqual(bytes(request.params), params)


class ResponseTests(SynchronousTestCase):
    """Answers of peers to requests of the gateway's."""

    def test_result(self) -> None:
        """A result stands as it was written, whatever it is, null included."""
        for result in (
            "1",
            "null",
            '"x"',
            "123456789012345678901234567890",
            '{"a": 1.50, "u":"\\u00e9 é"}',
            "[[]]",
            '""',
        ):
            response = decoded(f'{{"id" : "call_1","result": {result} ,"jsonrpc":"2.0"}}')
            self.assertEqual(response, Response("call_1", result.encode()), result)

    def test_error(self) -> None:
        """So does an error; with a result beside it it is one still, but null beside a result is none."""
        for members, expected in (
            ('"error":{"code": 1}', Response("c", b"", b'{"code": 1}')),
            ('"error":"oh"', Response("c", b"", b'"oh"')),
            ('"error":null', Response("c", b"", b"null")),
            ('"error":{"code":1},"result":2', Response("c", b"2", b'{"code":1}')),
            ('"error":null,"result":2', Response("c", b"2")),
            ('"error":null,"result":null', Response("c", b"null")),
            ('"result":1,"more":{"x":[]}', Response("c", b"1")),
        ):
            self.assertEqual(decoded(f'{{"jsonrpc":"2.0","id":"c",{members}}}'), expected, members)

    def test_of_nobody(self) -> None:
        """What answers no request of the gateway's is no response, and gets no answer, however ill-formed it is."""
        for members, named in (
            ('"id":1,"result":1', b"1"), ('"id":null,"error":{}', b"null"), ('"result":1', b"null"),
            ('"id":[],"result":1', b"null"), ('"id":{},"error":1', b"null"), ('"id":true,"result":1', b"null"),
            ('"id":1.5,"result":{"a":1}', b"1.5"), ('"id":' + "1" * 200 + ',"result":1', b"null"),
        ):  # fmt: skip
            self.assertEqual(decoded(f'{{"jsonrpc":"2.0",{members}}}'), NotARequest(None, named), members)
        for version in ('"jsonrpc":"1.0",', '"jsonrpc":2,', ""):
            self.assertEqual(decoded(f'{{{version}"id":"c","result":1}}'), NotARequest(None, b'"c"'), version)

    def test_neither(self) -> None:
        """Without a method, a result and an error it is an invalid request, as it always was."""
        entry = decoded('{"jsonrpc":"2.0","id":"c"}')
        self.assertIsInstance(entry.error, InvalidRequest)
        self.assertEqual(entry.id, b'"c"')

    def test_with_a_method(self) -> None:
        """What has a method is a request, whatever stands beside it; any name is one, the empty one too."""
        for method in ("m", "", "nothing", "result"):
            entry = decoded(f'{{"jsonrpc":"2.0","id":"c","method":"{method}","result":1,"error":2}}')
            self.assertEqual(entry, Request(method, b"", b'"c"'))

    def test_in_a_batch(self) -> None:
        """Responses may come in a batch, among requests."""
        entries = decoded(
            '[{"jsonrpc":"2.0","id":"c","result":1},{"jsonrpc":"2.0","id":1,"method":"m"},{"id":1,"error":1}]'
        )
        self.assertEqual(entries, [Response("c", b"1"), Request("m", b"", b"1"), NotARequest(None, b"1")])

    def test_not_json(self) -> None:
        """One that is no JSON, or nested too deep, is a parse error like any message."""
        for payload in (
            '{"jsonrpc":"2.0","id":"c","result":}', '{"jsonrpc":"2.0","id":"\\ud800","result":1}',
            '{"jsonrpc":"2.0","id":"c","result":nul}', '{"jsonrpc":"2.0","id":"c","result":1',
            f'{{"jsonrpc":"2.0","id":"c","result":{"[" * MAX_DEPTH}{"]" * MAX_DEPTH}}}',
        ):  # fmt: skip
            self.assertRaises(ParseError, decoded, payload)
        self.assertRaises(ParseError, decoded, b'{"jsonrpc":"2.0","id":"c","result":"\xff"}')
        deepest = f"{'[' * (MAX_DEPTH - 1)}{']' * (MAX_DEPTH - 1)}"
        self.assertEqual(decoded(f'{{"jsonrpc":"2.0","id":"c","result":{deepest}}}').result, deepest.encode())


class EncodeTests(SynchronousTestCase):
    """What is written."""

    def test_request(self) -> None:
        """A request of the gateway's is one by its own reading."""
        written = jsonrpc.request("agent.invoke", {"message": Raw(b'{"a": 1.50}')}, 'call_"1"')
        self.assertEqual(decoded(written), Request("agent.invoke", b'{"message":{"a": 1.50}}', b'"call_\\"1\\""'))

    def test_raw_is_not_touched(self) -> None:
        """JSON that is only relayed keeps its spelling."""
        written = jsonrpc.notification("m", {"message": Raw(b'{"a": 2.50, "b":1e400}')})
        self.assertEqual(written, b'{"jsonrpc":"2.0","method":"m","params":{"message":{"a": 2.50, "b":1e400}}}')

    def test_error_object(self) -> None:
        """An error has number, sentence, and for programs a code and whether to try again."""
        self.assertEqual(
            msgspec.json.decode(jsonrpc.error(ParseError("Oh"), b'"1"')),
            {
                "jsonrpc": "2.0",
                "error": {"code": -32700, "message": "Oh", "data": {"code": "parse_error", "retryable": False}},
                "id": "1",
            },
        )
