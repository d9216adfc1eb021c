"""All stories, with what happens in each, and the tests that protect what the gateway does in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from tests.comparison import stories
from tests.comparison.facts import AFTERWARDS, ANSWERED, CAME, LEARNED, LEFT, TOLD, Told
from tests.comparison.parties import Side
from tests.comparison.stories import COUNT, LOOP, MANY, SIZE, TEN_MINUTES, USUAL, WAIT


class Story(NamedTuple):
    """One story.

    @ivar text: what happens.
    @ivar rows: what is asked of it, each row with the tests that protect the gateway's answer, C{path::name}.
    """

    title: str
    text: str
    tell: Callable[[Side, Told], None]
    rows: dict[str, list[str]]


LEASES: Final = "tests/agents/mail/test_leases.py"
SENDING: Final = "tests/agents/mail/test_sending.py"
STORIES: Final = [
    Story(
        "The receiver is away",
        "A message is sent while its receiver is not there. The sender leaves as well. Then the receiver comes, takes "
        "what there is, and acknowledges it. Then the sender comes back.",
        stories.away,
        {
            ANSWERED: [f"{SENDING}::test_kept_first"],
            CAME: [f"{SENDING}::test_waits_in_order"],
            LEARNED: [f"{SENDING}::test_while_away"],
        },
    ),
    Story(
        "The receiver is slow, for ten minutes",
        f"It works for twenty times as long as it may be silent, and says now and then that it is at it. That is ten "
        f"minutes with the {USUAL:.0f} s that both sides have by default; here both were told with {WAIT:.0f} s, so in "
        f"{TEN_MINUTES / USUAL * WAIT:.0f} s. The gateway was told the whole ten minutes as well, on a clock that the "
        f"script moves. A nats-server has no such clock.",
        stories.slow,
        {CAME: [f"{LEASES}::test_at_it"], LEARNED: [f"{SENDING}::test_ladder", f"{LEASES}::test_at_it"]},
    ),
    Story(
        "The receiver begins and falls silent, each time",
        f"Nothing is heard of it for longer than {WAIT:.0f} s, again and again, as if the message killed its readers. "
        f"Both sides were told to give it up after five attempts: the gateway's default, and `max_deliver` 5.",
        stories.silent,
        {
            CAME: [f"{LEASES}::test_what_kills_its_recipient", f"{LEASES}::test_silent"],
            LEARNED: [f"{LEASES}::test_silent"],
            LEFT: [f"{LEASES}::test_what_kills_its_recipient"],
        },
    ),
    Story(
        "The receiver is killed in mid-work",
        f"A process takes a message, says that it has begun, and is ended by `kill -9`. Another one comes at once. "
        f"A receiver may be silent for {WAIT:.0f} s.",
        stories.killed,
        {CAME: [f"{LEASES}::test_silent"], LEARNED: [f"{SENDING}::test_ladder"]},
    ),
    Story(
        "The same, with work that must not be begun twice",
        "As before, with a task of the gateway's, whose `max_attempts` is 1 by default, and with `max_deliver` 1.",
        stories.killed_once,
        {
            CAME: ["tests/tasks/test_pulls.py::test_lease"],
            LEARNED: ["tests/engines/test_task_stores.py::test_lost_after"],
            LEFT: ["tests/services/test_task.py::test_kept"],
        },
    ),
    Story(
        "The server is killed",
        f"{MANY} jobs have been accepted, and a worker has begun with one of them, when the server is ended by "
        f"`kill -9` and started again. The sender sends the last job once more, as if it had not seen the answer. The "
        f"worker brings the result of the one that it was at, and does the others.",
        stories.crash,
        {
            ANSWERED: ["tests/engines/test_task_stores.py::test_key"],
            CAME: ["tests/e2e/runs/test_task_crash.py::test_killed_in_mid_work"],
            LEARNED: ["tests/e2e/runs/test_task_crash.py::test_killed_in_mid_work"],
        },
    ),
    Story(
        "A name is mistyped",
        "`wroker` instead of `worker`, `transalte` instead of `translate`, while the right ones are there.",
        stories.mistyped,
        {
            ANSWERED: [
                f"{SENDING}::test_never_held",
                "tests/agents/calls/test_absence.py::test_unknown",
                "tests/services/test_task.py::test_created",
            ]
        },
    ),
    Story(
        "Two agents answer each other",
        "Each answers every message with a message that says what it replies to. The script stops them after "
        f"{LOOP:,} messages.",
        stories.conversation,
        {ANSWERED: [f"{SENDING}::test_hops"], AFTERWARDS: ["tests/agents/test_conversations.py::test_hops"]},
    ),
    Story(
        "Two agents wait for each other",
        "`a` does one thing at a time, and needs `b` for it; `b` needs `a` for that.",
        stories.deadlock,
        {TOLD: ["tests/agents/calls/test_circles.py::test_there_and_back"]},
    ),
    Story(
        "A credential is revoked",
        "Its bearer is connected and subscribed at that moment.",
        stories.revoked,
        {
            TOLD: ["tests/e2e/wire/test_threats.py::test_revoked_means_now"],
            CAME: ["tests/e2e/wire/test_threats.py::test_revoked_means_now"],
            AFTERWARDS: ["tests/auth/test_credentials.py::test_one_text_for_all"],
        },
    ),
    Story(
        "A reader stalls",
        f"One subscriber reads; the other one stops, with its socket open. {COUNT} messages of {SIZE // 1000} kB are "
        f"published. What may wait for a connection is 1 MiB on both sides: that is the gateway's default, and was "
        f"set for NATS. The gateway's channel is durable, and the subject is stored in a stream. Both subscribers of "
        f"NATS are plain ones: a consumer that pulls gets no more than it asks for, and can't fall behind like this.",
        stories.stalled,
        {
            CAME: ["tests/transports/websocket/test_falling_behind.py::test_publication"],
            TOLD: ["tests/transports/sockets/test_backlog.py::test_slow_consumer"],
            AFTERWARDS: ["tests/channels/test_durable.py::test_as_it_was"],
        },
    ),
]
