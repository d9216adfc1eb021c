"""Messages that are no JSON, JSON that is relayed as it is, and JSON that is too deep or too large to be read."""

from __future__ import annotations

from typing import Final

from tests.e2e.inputs.messages import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, Message, call, echo, ok, refused

NOT_JSON: Final = (
    # what stands in no value
    "]", "}", "[", "{", '"', ":", ",", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1:2]", '["a":1]', "[1]]", "[1", '["a',
    "[1}",
    '{"a"}', '{"a":}', '{"a":1,}', '{,"a":1}', '{"a":1,,"b":2}', '{"a" 1}', '{"a"::1}', '{"a":1 "b":2}', "{1:1}",
    "{a:1}", "{'a':1}", '{"a":1', '{"a":"b}', "{null:1}", '{"a":1}}', "{[1]:1}",
    # words
    "nul", "nulll", "NULL", "None", "True", "undefined", "tru", "fals", "nan", "NaN", "-NaN", "Infinity", "-Infinity",
    "+Infinity", "inf", "\u4f60",
    # numbers
    "01", "-01", "00", "-", "+1", "++1", "--1", ".5", "-.5", "1.", "1.e1", "1e", "1e+", "1E-", "1.5.5", "1e1.5", "0x1f",
    "0b1", "1_000", "1 000", "1a", "-a", "\uff11", "1/2", "0e", "-1.",
    # strings
    "'a'", '"a', 'a"', '"\\x41"', '"\\a"', '"\\"', '"\\u12"', '"\\u12G4"', '"\\U00e9"', '"\\ "', '"\n"', '"\t"', '"\r"',
    '"\x00"', '"\x1f"', '"\\\x00"', '"\\u"', '`a`', '"a" "b"', "\u201ca\u201d",
    # half a character: UTF-16 has no such text, and a peer's parser may choke on it
    '"\\ud800"', '"\\udc00"', '"\\ud800\\ud800"', '"\\udc00\\ud800"', '"\\ud800a"', '"\\ud800\\u0061"', '{"\\ud800":1}',
    # comments, and white space that is none
    "// a\n1", "/* a */1", "# a\n1", "1 // a", "\ufeff1", "\u00a01", "\u20281", "\x0b1", "\x0c1", "\u30001",
    "\x001", "1\x00",
)  # fmt: skip

JSON: Final = (
    "null", "true", "false", "0", "-0", "1", "-1", "123456789012345678901234567890", "1.5", "-1.5", "1e5", "1E+5",
    "1e-5", "1.50", "0e1", "0.0", "1e400", "-1e400", "1e-400", "123e-10000000", '""', '"a"', '"\\u0000"', '"\\u001b"',
    '"\\ud83d\\ude00"', '"\\u2028"', '"\u2028"', '"\x7f"', '"\U0001f600"', '"\uffff"', '"\U0010ffff"',
    '"\\/\\b\\f\\n\\r\\t\\"\\\\"',
    "[]", "{}", "[[]]", "[{}]", "[1,2,3]", '[1,"a",null,true,{"a":[]}]', '{"a":1}', '{"":1}', '{"a":1,"a":2}',
    '{"\\u0000":1}', "[ 1 , 2 ]", '{ "a" : 1 }', "[1\n,\r\n2\t]", '"' + "a" * 1000 + '"',
)  # fmt: skip

SYNTAX: Final = (
    *(Message(f"{text!r} alone", text, refused(PARSE_ERROR)) for text in NOT_JSON),
    *(Message(f"{text!r} to be relayed", echo(text), refused(PARSE_ERROR)) for text in NOT_JSON),
    *(Message(f"{text!r} behind a call in a batch", f"[{call()},{text}]", refused(PARSE_ERROR)) for text in NOT_JSON),
    *(
        Message(f"{text!r} in a member that means nothing", call(more=f',"x":{text}'), refused(PARSE_ERROR))
        for text in NOT_JSON
    ),
    *(Message(f"{text:.40} alone", text, refused(INVALID_REQUEST)) for text in JSON if text[0] not in "[{"),
    *(Message(f"{text:.40} relayed", echo(text), ..., written=f'"result":{text}') for text in JSON),
    Message("nothing", "", refused(PARSE_ERROR)),
    Message("white space", " \t\r\n", refused(PARSE_ERROR)),
    Message("white space around a call", " \t\r\n" + call() + " \t\r\n", ok("pong")),
    Message("a byte order mark before a call", "\ufeff" + call(), refused(PARSE_ERROR), why="RFC 8259, section 8.1"),
    Message("two calls in one message", call() + call(), refused(PARSE_ERROR)),
    Message("two calls on two lines", call() + "\n" + call(), refused(PARSE_ERROR)),
    Message("a call and a brace", call() + "}", refused(PARSE_ERROR)),
    Message("a call and a NUL", call() + "\x00", refused(PARSE_ERROR)),
    Message("a call cut off", call()[:-1], refused(PARSE_ERROR)),
    Message("a batch cut off", f"[{call()},", refused(PARSE_ERROR)),
    Message("XML", '<?xml version="1.0"?><methodCall/>', refused(PARSE_ERROR)),
    Message("a form", "jsonrpc=2.0&method=rpc.ping&id=1", refused(PARSE_ERROR)),
)

# What is relayed and counts: the call, its params and 62 more.
_ARRAYS, _OBJECTS = "[" * 62 + "]" * 62, '{"a":' * 62 + "1" + "}" * 62
DEPTH: Final = (
    Message("arrays as deep as can be", echo(_ARRAYS), ..., written=_ARRAYS),
    Message("objects as deep as can be", echo(_OBJECTS), ..., written=_OBJECTS),
    Message("arrays one deeper", echo(f"[{_ARRAYS}]"), refused(PARSE_ERROR)),
    Message("objects one deeper", echo(f'{{"a":{_OBJECTS}}}'), refused(PARSE_ERROR)),
    Message("brackets in a string", echo('"' + "[" * 1000 + '"'), ..., written="[" * 1000),
    Message("brackets in a string behind a quote", echo('"\\"' + "[{" * 1000 + '"'), ..., written="[{" * 1000),
    Message("many brackets side by side", echo("[" + "[]," * 10_000 + "[]]"), ..., written="[]," * 10_000),
    Message("a hundred thousand arrays", "[" * 100_000, refused(PARSE_ERROR)),
    Message("a million arrays", lambda: "[" * 1_000_000, refused(PARSE_ERROR)),
    Message("a million arrays, closed", lambda: echo("[" * 1_000_000 + "]" * 1_000_000), refused(PARSE_ERROR)),
    Message("a hundred thousand objects", '{"a":' * 100_000, refused(PARSE_ERROR)),
    Message("a hundred thousand objects, closed", echo('{"a":' * 100_000 + "1" + "}" * 100_000), refused(PARSE_ERROR)),
    Message("a million quotes", lambda: '"' * 1_000_000, refused(PARSE_ERROR)),
    Message("a million escapes", lambda: echo('"' + "\\\\" * 1_000_000), refused(PARSE_ERROR)),
)

_DIGITS: Final = "9" * 5000
NUMBERS: Final = (
    Message("five thousand digits relayed", echo(_DIGITS), ..., written=_DIGITS, why="nobody reads them here"),
    Message("half a million digits relayed", lambda: echo("9" * 500_000), ..., written="9" * 500_000),
    Message("five thousand digits as an id", call(request_id=_DIGITS), refused(INVALID_REQUEST), unsaid="9" * 129),
    Message(
        "five thousand digits as a count",
        call("channel.history", f'{{"channel":"a","limit":{_DIGITS}}}'),
        refused(INVALID_PARAMS, 1),
        unsaid=_DIGITS[:20],
    ),
    Message("1e400 as a count", call("channel.history", '{"channel":"a","limit":1e400}'), refused(INVALID_PARAMS, 1)),
    Message(
        "a fraction as a count", call("channel.history", '{"channel":"a","limit":1.5}'), refused(INVALID_PARAMS, 1)
    ),
    Message("1e400 hours", call("auth.generateToken", '{"entity_id":"a","expires_in_hours":1e400}'), (-32002, 1)),
    Message(
        "1e400 in metadata",
        call("presence.update", '{"status":"busy","metadata":{"a":1e400}}'),
        refused(INVALID_PARAMS, 1),
    ),
    Message(
        "five thousand digits in metadata",
        call("presence.update", f'{{"status":"busy","metadata":{{"a":{_DIGITS}}}}}'),
        refused(INVALID_PARAMS, 1),
        unsaid=_DIGITS[:20],
    ),
)

TEXTS_OF_JSON: Final = (*SYNTAX, *DEPTH, *NUMBERS)
