"""The programs in examples/, run as they stand there, against gateways and agents in processes of their own."""

from __future__ import annotations

import ast
import json
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients import Client, mint
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, CHECKOUT, GatewayProcess, Process, environment, eventually, run_to_end

EXAMPLES = CHECKOUT / "examples"
WORKERS = ["worker.1", "worker.2", "worker.3"]
SECOND = 1 / 3600
"""In hours, which the lifetimes of tokens are in."""
LADDER = ["queued", "sent", "received", "started", "done"]

StartAgent = Callable[..., Process]


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[StartAgent]:
    """Starts a program with a token for a name, and waits until it is online, or prints what C{ready} matches.

    C{times} are those of the token.
    """
    started: list[Process] = []

    def start(
        gateway: GatewayProcess, program: str, name: str, *arguments: str | Path, ready: str | None = None, **times: Any
    ) -> Process:
        env = environment(CELL0_TOKEN=mint(gateway, name, **times), no_proxy="127.0.0.1")
        started.append(Process([sys.executable, EXAMPLES / program, gateway.url, *arguments], env, tmp_path))
        started[-1].wait_for(ready or f"^online as {re.escape(name)}$")
        return started[-1]

    yield start
    for agent in started:
        agent.kill()


def call(client: Client, request_id: str, message: Any, **where: Any) -> None:
    """Send an agent.call, and don't wait for its answer."""
    params = {"message": message, **where}
    client.connection.send(json.dumps({"jsonrpc": "2.0", "method": "agent.call", "params": params, "id": request_id}))


def answer(client: Client, request_id: str) -> dict[str, Any]:
    """The answer to such a call."""
    while True:
        for position, message in enumerate(client.messages):
            if message.get("id") == request_id:
                found: dict[str, Any] = client.messages.pop(position)
                return found
        client.messages.append(client.receive())


def progress_of(client: Client, request_id: str) -> Any:
    """What a call shows next."""
    while True:
        for position, message in enumerate(client.messages):
            if message.get("method") == "agent.progress" and message["params"]["request_id"] == request_id:
                return client.messages.pop(position)["params"]["data"]
        client.messages.append(client.receive())


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The lines that one run of demo.py printed, by their headings."""
    demo = Process([sys.executable, EXAMPLES / "demo.py"], environment(), tmp_path_factory.mktemp("demo"))
    try:
        assert demo.wait(120) == 0, demo.output
    finally:
        demo.kill()
    return [part.splitlines() for part in re.split(r"^(?=\d\. )", demo.output, flags=re.MULTILINE)]


class TestDemo:
    """One run of demo.py, looked at from all sides."""

    def test_spread(self, parts: list[list[str]]) -> None:
        """Twelve calls are answered, each rightly, and all three workers take part."""
        counted = found(parts[1], r"^(\d+) words, counted by (worker\.\d): (.*)")
        assert len(counted) == 12
        assert all(int(words) == len(text.split()) for words, _, text in counted)
        assert sorted({worker for _, worker, _ in counted}) == WORKERS
        begun = found(parts[1], r"^   \[(worker\.\d)\] began (call_\w+): (.*)")
        assert sorted((worker, text) for worker, _, text in begun) == sorted(
            (worker, text) for _, worker, text in counted
        )

    def test_killed_before_it_began(self, parts: list[list[str]]) -> None:
        """The call that the killed worker had not begun with is done by another one, which is the only one to begin."""
        ((killed,),) = found(parts[2], r"^(worker\.\d) is killed")
        assert found(parts[2], r"^(worker\.\d) has 2 calls") == [(killed,)]
        ((by,),) = found(parts[2], r"^the second call: 3 words, counted by (worker\.\d)")
        assert by != killed
        assert found(parts[2], r"\[(worker\.\d)\] began call_\w+: a short one") == [(by,)]

    def test_killed_after_it_began(self, parts: list[list[str]]) -> None:
        """The call that the killed worker had begun with fails with -32008, long before its time is up; nobody else
        begins with it.
        """
        ((killed,),) = found(parts[2], r"^(worker\.\d) is killed")
        assert found(parts[2], r"^(worker\.\d) has begun with the first call") == [(killed,)]
        assert found(parts[2], r"^the first call: (-?\d+) (worker\.\d)") == [("-32008", killed)]
        assert found(parts[2], r"\[(worker\.\d)\] began call_\w+: a very long book") == [(killed,)]

    def test_stream(self, parts: list[list[str]]) -> None:
        """The words of the story come one by one, in order, before the whole, and make it up."""
        words = found(parts[3], r"^word (\d+): (.*)")
        assert [int(number) for number, _ in words] == list(range(25))
        ((whole,),) = found(parts[3], r"^the whole: (.*)")
        assert "".join(word for _, word in words) == whole
        assert parts[3].index(f"the whole: {whole}") > parts[3].index(f"word 24: {words[24][1]}")

    def test_cancelled(self, parts: list[list[str]]) -> None:
        """The cancelled call is -32009, and the storyteller hears of it and stops long before the end."""
        assert found(parts[4], r"^the call: (-?\d+)") == [("-32009",)]
        ((words,),) = found(parts[4], r"\[storyteller\] stopped call_\w+ after (\d+) words: cancelled")
        assert 6 <= int(words) < 1_000_000
        assert not found(parts[4], r"\[storyteller\] (told)")

    def test_mail(self, parts: list[list[str]]) -> None:
        """What is sent to the dead worker waits, and arrives once and in order when it is back."""
        ((killed,),) = found(parts[2], r"^(worker\.\d) is killed")
        letters = [f"letter {number}" for number in range(1, 6)]
        assert found(parts[5], r"^(letter \d) is queued") == [(letter,) for letter in letters]
        assert found(parts[5], r"\[(worker\.\d)\] mail from dispatcher: (.*)") == [
            (killed, letter) for letter in letters
        ]
        last_sent = parts[5].index("letter 5 is queued")
        first_read = parts[5].index(f"   [{killed}] mail from dispatcher: letter 1")
        assert last_sent < parts[5].index(f"{killed} is started again") < first_read

    def test_receipts(self, parts: list[list[str]]) -> None:
        """The receipts of each letter tell every step, in order."""
        told = found(parts[5], r"^letter (\d) was: (.*)")
        assert told == [(str(number), ", ".join(LADDER)) for number in range(1, 6)]

    def test_nothing_is_logged_as_wrong(self, parts: list[list[str]]) -> None:
        """Neither the gateway nor an agent has anything to complain of."""
        output = "\n".join(line for part in parts for line in part)
        assert not re.search(r"Traceback|exception|\[(error|critical|warn)\]", output), output


def found(lines: list[str], pattern: str) -> list[tuple[str, ...]]:
    """The groups of every line that matches."""
    return [match.groups() for line in lines if (match := re.search(pattern, line))]


class TestAgents:
    """The agents, called by a client that is none of the examples."""

    def test_worker_counts(self, gateway: GatewayProcess, start_agent: StartAgent) -> None:
        """A worker shows that it has begun, and answers by its name and by what it can do."""
        start_agent(gateway, "worker.py", "counter.1")
        with Client(gateway, ADMIN_TOKEN) as client:
            for number, where in enumerate(({"agent_id": "counter.1"}, {"capability": "wordcount"})):
                call(client, f"call {number}", {"text": "one two three"}, **where)
                assert progress_of(client, f"call {number}") == {"begun_by": "counter.1"}
                assert answer(client, f"call {number}")["result"] == {"words": 3, "counted_by": "counter.1"}

    def test_worker_fails(self, gateway: GatewayProcess, start_agent: StartAgent) -> None:
        """What a worker raises reaches the caller as -32008 with the worker's own words, and the worker goes on."""
        start_agent(gateway, "worker.py", "counter.2")
        with Client(gateway, ADMIN_TOKEN) as client:
            error = client.request("agent.call", agent_id="counter.2", message={})["error"]
            assert error["code"] == -32008
            assert error["data"]["agent_error"]["message"] == "KeyError: 'text'"
            assert client.call("agent.call", agent_id="counter.2", message={"text": "a b"})["words"] == 2

    def test_worker_is_not_overloaded(self, gateway: GatewayProcess, start_agent: StartAgent) -> None:
        """Of three calls a worker gets two at once, by its max_inflight, and the third when it has answered one."""
        start_agent(gateway, "worker.py", "counter.3")
        with Client(gateway, ADMIN_TOKEN) as client:
            call(client, "long", {"text": "a", "seconds": 3600}, agent_id="counter.3")
            progress_of(client, "long")
            for request_id in ("second", "third"):
                call(client, request_id, {"text": "a"}, agent_id="counter.3")
            entry = next(each for each in client.call("agent.list") if each["entity_id"] == "counter.3")
            assert (entry["inflight"], entry["max_inflight"]) == (2, 2)
            client.call("agent.cancel", request_id="long")
            assert answer(client, "long")["error"]["code"] == -32009
            assert answer(client, "second")["result"]["words"] == answer(client, "third")["result"]["words"] == 1

    def test_mail_is_acknowledged(self, gateway: GatewayProcess, start_agent: StartAgent) -> None:
        """Mail to a worker climbs the whole ladder, and nothing of it waits."""
        worker = start_agent(gateway, "worker.py", "counter.4")
        with Client(gateway, ADMIN_TOKEN) as client:
            message_id = client.call("agent.send", agent_id="counter.4", message="hello", receipts=True)["message_id"]
            receipts = [client.notification("agent.receipt") for _ in LADDER]
            assert [receipt["status"] for receipt in receipts] == LADDER
            assert {receipt["message_id"] for receipt in receipts} == {message_id}
            assert client.call("gateway.getStats")["services"]["agent"]["messages_waiting"] == 0
        worker.wait_for("^mail from admin: hello$")

    def test_stories_at_once(self, gateway: GatewayProcess, start_agent: StartAgent) -> None:
        """The storyteller tells two stories at the same time, each in order, and stops the one that is cancelled."""
        teller = start_agent(gateway, "storyteller.py", "teller.1")
        with Client(gateway, ADMIN_TOKEN) as client:
            call(client, "endless", {"about": "a whale", "sentences": 1_000_000}, agent_id="teller.1")
            assert [progress_of(client, "endless")["number"] for _ in range(5)] == list(range(5))
            call(client, "short", {"about": "a cat", "sentences": 1}, agent_id="teller.1")
            assert "".join(progress_of(client, "short")["word"] for _ in range(9)) == answer(client, "short")["result"]
            assert [progress_of(client, "endless")["number"] for _ in range(5)] == list(range(5, 10))
            client.call("agent.cancel", request_id="endless")
            assert answer(client, "endless")["error"]["code"] == -32009
            teller.wait_for(r"^stopped call_\w+ after \d+ words: cancelled$")

    def test_caller_gone(self, gateway: GatewayProcess, start_agent: StartAgent) -> None:
        """A story stops, too, when the one who wanted it is gone."""
        teller = start_agent(gateway, "storyteller.py", "teller.2")
        with Client(gateway, ADMIN_TOKEN) as client:
            call(client, "endless", {"about": "a whale", "sentences": 1_000_000}, agent_id="teller.2")
            progress_of(client, "endless")
        teller.wait_for(r"^stopped call_\w+ after \d+ words: caller_gone$")

    def test_dispatcher(self, gateway: GatewayProcess, start_agent: StartAgent, tmp_path: Path) -> None:
        """dispatcher.py alone has each text counted, sends each, and prints the whole story of each letter."""
        worker = start_agent(gateway, "worker.py", "counter.5")
        env = environment(CELL0_TOKEN=mint(gateway, "dispatcher"), no_proxy="127.0.0.1")
        texts = ["one two", "three", "four five six"]
        run = run_to_end([sys.executable, EXAMPLES / "dispatcher.py", gateway.url, "counter.5", *texts], env, tmp_path)
        assert run.status == 0, run.output
        counts = [f"{len(text.split())} words, counted by counter.5: {text}" for text in texts]
        assert run.output.splitlines() == counts + [f"{', '.join(LADDER)}: {text}" for text in texts]
        worker.wait_for("^mail from dispatcher: four five six$")
        assert [line for line in worker.lines if "mail" in line] == [f"mail from dispatcher: {text}" for text in texts]

    def test_reader(self, gateway: GatewayProcess, start_agent: StartAgent) -> None:
        """The shortest agent prints its mail, and acknowledges it."""
        reader = start_agent(gateway, "reader.py", "reader.1")
        with Client(gateway, ADMIN_TOKEN) as client:
            client.call("agent.send", agent_id="reader.1", message="hello", receipts=True)
            assert [client.notification("agent.receipt")["status"] for _ in LADDER] == LADDER
        reader.wait_for("^mail from admin: hello$")


def run_example(gateway: GatewayProcess, cwd: Path, program: str, *arguments: str | Path) -> list[str]:
    """Run a program that ends by itself, and must succeed, as C{someone}.

    @return: the lines that it prints.
    """
    env = environment(CELL0_TOKEN=mint(gateway, "someone"), no_proxy="127.0.0.1")
    outcome = run_to_end([sys.executable, EXAMPLES / program, gateway.url, *arguments], env, cwd)
    assert outcome.status == 0, outcome.output
    return outcome.output.splitlines()


class TestChannels:
    """pubsub.py and journal.py."""

    def test_pubsub(self, gateway: GatewayProcess, start_agent: StartAgent, tmp_path: Path) -> None:
        """Who listens to a channel, or to a pattern that covers it, hears what is said there, and the publisher is told
        how many did.
        """
        one = start_agent(gateway, "pubsub.py", "listener.1", "news.weather", ready="^listening to news.weather$")
        all_news = start_agent(gateway, "pubsub.py", "listener.2", "news.>", ready="^listening to news.>$")
        assert run_example(gateway, tmp_path, "pubsub.py", "news.weather", "it rains") == ["2 heard: it rains"]
        assert run_example(gateway, tmp_path, "pubsub.py", "news.sport", "0:0", "1:0") == [
            "1 heard: 0:0",
            "1 heard: 1:0",
        ]
        all_news.wait_for("^someone on news.sport: 1:0$")
        assert all_news.lines[1:] == [
            "someone on news.weather: it rains", "someone on news.sport: 0:0", "someone on news.sport: 1:0"
        ]  # fmt: skip
        assert one.lines[1:] == ["someone on news.weather: it rains"]

    def test_journal(self, start_gateway: StartGateway, start_agent: StartAgent, tmp_path: Path) -> None:
        """A reader has every message of a durable channel, in order and once: those from before it was there, from
        while it was away, and from before and after a gateway that was killed.
        """
        flags = ("--config", str(EXAMPLES / "journal.toml"))
        gateway = start_gateway(*flags)
        assert run_example(gateway, tmp_path, "journal.py", "write", "journal.orders", "a", "b") == [
            "1 is written: a", "2 is written: b"
        ]  # fmt: skip
        position = tmp_path / "position.json"
        read = ("journal.py", "reader", "read", "journal.orders", position)
        first = start_agent(gateway, *read, ready="^2: b$")
        eventually(lambda: json.loads(position.read_text())["offset"] == 2, "the position")
        first.kill()
        run_example(gateway, tmp_path, "journal.py", "write", "journal.orders", "c")
        gateway.signal(signal.SIGKILL)
        gateway.wait()
        gateway = start_gateway("--port", str(gateway.port), *flags)
        second = start_agent(gateway, *read, ready="^3: c$")
        gateway.signal(signal.SIGKILL)
        gateway.wait()
        gateway = start_gateway("--port", str(gateway.port), *flags)
        run_example(gateway, tmp_path, "journal.py", "write", "journal.orders", "d")
        second.wait_for("^4: d$")
        assert first.lines == ["reading journal.orders after 0", "1: a", "2: b"]
        assert [line for line in second.lines if not line.startswith("ws:")] == [
            "reading journal.orders after 2", "3: c", "reading journal.orders after 3", "4: d"
        ]  # fmt: skip

    def test_journal_from_its_beginning(
        self, start_gateway: StartGateway, start_agent: StartAgent, tmp_path: Path
    ) -> None:
        """A reader that is there before the first message has it."""
        gateway = start_gateway("--config", str(EXAMPLES / "journal.toml"))
        position = tmp_path / "position.json"
        reader = start_agent(
            gateway, "journal.py", "reader", "read", "journal.new", position, ready="^reading journal.new from its"
        )
        eventually(position.exists, "the position")
        run_example(gateway, tmp_path, "journal.py", "write", "journal.new", "a")
        reader.wait_for("^1: a$")

    def test_journal_that_has_lost_something(
        self, start_gateway: StartGateway, start_agent: StartAgent, tmp_path: Path
    ) -> None:
        """A reader whose position is of a numbering that there is no more says so, and reads what there is."""
        gateway = start_gateway("--config", str(EXAMPLES / "journal.toml"))
        (position := tmp_path / "position.json").write_text('{"offset": 7, "epoch": "epoch_0000000000000000"}')
        run_example(gateway, tmp_path, "journal.py", "write", "journal.orders", "a")
        reader = start_agent(gateway, "journal.py", "reader", "read", "journal.orders", position, ready="^1: a$")
        assert reader.lines == [
            "reading journal.orders after 7",
            "LOST: messages after 7 are not held any more",
            "reading journal.orders after 0",
            "1: a",
        ]


def test_presence(gateway: GatewayProcess, start_agent: StartAgent) -> None:
    """Who watches sees those who are here, then who comes, what they do, and who leaves; nobody else."""
    watcher = start_agent(gateway, "presence.py", "watcher", "painter.*", ready="^0 here$")
    everyone = start_agent(gateway, "presence.py", "guard", ready="^here: guard is busy, watching$")
    with Client(gateway, mint(gateway, "painter.1")) as painter:
        watcher.wait_for("^came: painter.1 is online$")
        painter.call("presence.update", status="busy", activity="painting")
        watcher.wait_for("^changed: painter.1 is busy, painting$")
        start_agent(gateway, "presence.py", "again", "painter.*", ready="^here: painter.1 is busy, painting$")
    watcher.wait_for("^left: painter.1$")
    everyone.wait_for("^left: painter.1$")
    assert len(watcher.lines) == 4


PROGRAMS = sorted({path.name for path in EXAMPLES.glob("*.py")} - {"agent.py", "demo.py", "program.py"})
ARGUMENTS = {"dispatcher.py": ["worker.1", "a"], "pubsub.py": ["news"], "journal.py": ["write", "journal.a", "a"]}


class TestMistakes:
    """What is wrong is said in one line, and never by a traceback or by silence."""

    def mistake(self, program: str, *arguments: str, token: str | None = None) -> str:
        """What a program prints that must fail with one line."""
        path = CHECKOUT / ("docs" if program == "resuming_client.py" else "examples") / program
        env = environment(CELL0_TOKEN=token, no_proxy="127.0.0.1")
        outcome = run_to_end([sys.executable, path, *arguments], env, CHECKOUT)
        assert outcome.status == 1, outcome.output
        (line,) = outcome.output.splitlines()
        return line

    @pytest.mark.parametrize("program", [*PROGRAMS, "resuming_client.py"])
    def test_no_url(self, program: str) -> None:
        """Without its arguments a program shows what they are."""
        assert re.match(
            rf"usage: CELL0_TOKEN=cell0_\.\.\. python .*{program} ws://localhost:18801", self.mistake(program)
        )

    @pytest.mark.parametrize("program", PROGRAMS)
    def test_no_token(self, program: str) -> None:
        """Without a token a program says where it belongs, and where it comes from."""
        line = self.mistake(program, "ws://localhost:1", *ARGUMENTS.get(program, ()))
        assert line.endswith("CELL0_TOKEN is not set: it must hold a token, which auth.generateToken mints")

    @pytest.mark.parametrize("program", PROGRAMS)
    def test_no_url_of_a_gateway(self, program: str) -> None:
        """Something that is no URL is called so."""
        line = self.mistake(program, "localhost:1", *ARGUMENTS.get(program, ()), token="cell0_a")
        assert line.endswith("localhost:1 is no URL of a gateway, which is like ws://localhost:18801")

    def test_too_much(self) -> None:
        """An argument too many is not taken for nothing."""
        assert "usage" in self.mistake("worker.py", "ws://localhost:1", "news", token="cell0_a")
        assert "read CHANNEL FILE" in self.mistake("journal.py", "ws://localhost:1", "rad", "a", "b", token="cell0_a")

    def test_agent_alone(self) -> None:
        """agent.py, which is no program, says what are."""
        assert "reader.py" in self.mistake("agent.py", "ws://localhost:1")

    @pytest.mark.parametrize("program", [*PROGRAMS, "resuming_client.py"])
    def test_wrong_token(self, gateway: GatewayProcess, program: str) -> None:
        """A token that is not valid ends a program with the gateway's words."""
        arguments = ARGUMENTS.get(program, ["news"] if program == "resuming_client.py" else [])
        assert "Invalid token" in self.mistake(program, gateway.url, *arguments, token="cell0_a")

    def test_nobody_can(self, start_gateway: StartGateway) -> None:
        """A dispatcher whose capability nobody has, or has had, says so."""
        gateway = start_gateway()
        line = self.mistake("dispatcher.py", gateway.url, "worker.1", "a b", token=mint(gateway, "dispatcher"))
        assert re.match(r"refused: -32006 .*wordcount", line)

    def test_not_allowed(self, gateway: GatewayProcess) -> None:
        """A program whose token does not let it subscribe says which permission is missing, and does not try again."""
        token = mint(gateway, "deaf", permissions=["session.*"])
        assert "channel.subscribe" in self.mistake("pubsub.py", gateway.url, "news", token=token)

    @pytest.mark.parametrize("program", PROGRAMS)
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_nobody_listens(self, program: str, host: str, tmp_path: Path) -> None:
        """A program that can't connect says so, and when it tries again, with each try."""
        with socket.socket() as reserved:  # bound, so that nobody else is, and not listening
            reserved.bind(("127.0.0.1", 0))
            url = f"ws://{host}:{reserved.getsockname()[1]}"
            command = [sys.executable, EXAMPLES / program, url, *ARGUMENTS.get(program, ())]
            process = Process(command, environment(CELL0_TOKEN="cell0_a", no_proxy="127.0.0.1,localhost"), tmp_path)
            try:
                process.wait_until(lambda: len(process.lines) > 1, "a second try")
            finally:
                process.kill()
        assert re.match(rf"{url}: nobody listens there; trying again in \d+\.\d s$", process.lines[0])


class TestTokens:
    """An agent does not end with its first token."""

    def test_renewed(self, gateway: GatewayProcess, start_agent: StartAgent) -> None:
        """An agent whose first token has expired is online on the same connection, and answers calls."""
        worker = start_agent(
            gateway, "worker.py", "renewing.1", expires_in_hours=8 * SECOND, renewable_for_hours=1000 * SECOND
        )
        with Client(gateway, ADMIN_TOKEN) as admin:

            def tokens() -> list[Any]:
                return list(admin.call("auth.listTokens", entity_id="renewing.1", expired=True)["tokens"])

            first = tokens()[0]["expires_at"]
            eventually(lambda: admin.call("rpc.getServerInfo")["timestamp"] > first, "the end of the first token")
            assert admin.call("agent.call", agent_id="renewing.1", message={"text": "a b"})["words"] == 2
            assert tokens()[1]["renewed_from"] == tokens()[0]["token_id"]
        assert sum("online" in line or "again" in line for line in worker.lines) == 1

    def test_last(self, gateway: GatewayProcess, start_agent: StartAgent) -> None:
        """An agent whose token can't be renewed says so while that is still valid."""
        worker = start_agent(gateway, "worker.py", "renewing.2", expires_in_hours=6 * SECOND)
        worker.wait_for(r"^this token is the last one, it ends at \S+Z: -32002 Your token is not renewable$")
        assert worker.wait() == 1
        worker.wait_for("^sent away: 4507")


class TestReconnecting:
    """What breaks is made up for."""

    def test_gateway_killed(self, start_gateway: StartGateway, start_agent: StartAgent) -> None:
        """The gateway is killed with a call in flight: the worker stops that one, comes back by itself, answers calls,
        and reads the mail that was sent meanwhile.
        """
        gateway = start_gateway()
        teller = start_agent(gateway, "storyteller.py", "teller.1")
        worker = start_agent(gateway, "worker.py", "worker.1")
        with Client(gateway, ADMIN_TOKEN) as client:
            call(client, "endless", {"about": "a whale", "sentences": 1_000_000}, agent_id="teller.1")
            progress_of(client, "endless")
            gateway.signal(signal.SIGKILL)
            assert gateway.wait() == -signal.SIGKILL
        teller.wait_for("^stopped .*: the connection is gone$")
        gateway = start_gateway("--port", str(gateway.port))
        with Client(gateway, ADMIN_TOKEN) as client:
            client.call("agent.send", agent_id="worker.1", message="welcome back")
            for agent in (teller, worker):
                agent.wait_until(lambda agent=agent: sum("online" in line for line in agent.lines) == 2, "the agent")
            assert client.call("agent.call", agent_id="worker.1", message={"text": "a b c"})["words"] == 3
        worker.wait_for("^mail from admin: welcome back$")
        assert worker.running and teller.running

    def test_not_again(self, start_gateway: StartGateway, start_agent: StartAgent) -> None:
        """When its token is revoked an agent ends, and does not try again."""
        gateway = start_gateway()
        worker = start_agent(gateway, "worker.py", "worker.1")
        with Client(gateway, ADMIN_TOKEN) as admin:
            admin.call("auth.revokeToken", entity_id="worker.1")
        assert worker.wait() == 1
        worker.wait_for("^sent away: 4507")


def test_gateway_has_all_to_itself(gateway: GatewayProcess) -> None:
    """Nothing of the agents of the other tests is left: no calls and no mail."""
    with Client(gateway, ADMIN_TOKEN) as admin:

        def left() -> list[int]:
            counts = admin.call("gateway.getStats")["services"]["agent"]
            return [counts[name] for name in ("mailboxes", "messages_waiting", "calls_inflight", "calls_waiting")]

        eventually(lambda: not any(left()), "the end of all calls and mail")


@pytest.mark.parametrize("program", sorted(EXAMPLES.glob("*.py")), ids=lambda program: program.name)
def test_imports(program: Path) -> None:
    """The examples need nothing but the standard library, each other, and websockets."""
    imported = set()
    for node in ast.walk(ast.parse(program.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    allowed = {*sys.stdlib_module_names, "websockets", *(each.stem for each in EXAMPLES.glob("*.py"))}
    assert imported <= allowed


def test_a_mistake_of_your_own(gateway: GatewayProcess) -> None:
    """A mistake in what somebody adds to an agent ends the program with the mistake, and is not waited out."""
    program = (
        f"import sys; sys.path.insert(0, {str(EXAMPLES)!r})\n"
        "from agent import Agent\n"
        "from program import command_line, connected, run\n"
        "class Mistaken(Agent):\n"
        "    def on_notification(self, method, params):\n"
        "        raise ValueError('my mistake')\n"
        "async def main():\n"
        "    async with connected(Mistaken(*command_line())):\n"
        "        print('connected')\n"
        "run(main())\n"
    )
    env = environment(CELL0_TOKEN=mint(gateway, "mistaken"), no_proxy="127.0.0.1")
    outcome = run_to_end([sys.executable, "-c", program, gateway.url], env, CHECKOUT)
    assert outcome.status == 1
    assert outcome.output.splitlines()[-1] == "ValueError: my mistake"


def test_no_agent_takes_a_name_that_agent_py_has() -> None:
    """What an example's agent calls its own is not what agent.py calls something else."""

    def names(node: ast.ClassDef) -> set[str]:
        methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
        attributes = (each for each in ast.walk(node) if isinstance(each, ast.Attribute))
        stores = (each for each in attributes if isinstance(each.ctx, ast.Store))
        return methods | {each.attr for each in stores if ast.unparse(each.value) == "self"}

    classes = {
        node.name: (names(node), [ast.unparse(base) for base in node.bases])
        for path in EXAMPLES.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    own = {name: attributes for name, (attributes, bases) in classes.items() if "Agent" in bases}
    assert {"Dispatcher", "Worker"} <= own.keys()
    taken = {name: attributes & classes["Agent"][0] for name, attributes in own.items()}
    assert {
        name: private
        for name, attributes in taken.items()
        if (private := {each for each in attributes if each.startswith("_") and not each.startswith("__")})
    } == {}
