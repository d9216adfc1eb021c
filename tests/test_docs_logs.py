"""What docs/operations.md says of the log, of the audit log and of backups is what the gateway does."""

from __future__ import annotations

import ast
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from twisted.logger import capturedLogs

from cell0gw.process.logs import FIELDS, JSONObserver, TextObserver
from cell0gw.testing import MemoryGateway
from tests.documents import OPERATIONS, ROOT, DocumentTestCase, blocks, code, differing, missing, rows, section

LEVELS = {name: name for name in ("debug", "info", "warn", "error", "critical")} | {"failure": "critical"}
"""The methods of a logger, and the level that each writes."""

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[(\w+)\] (.*)")


class LogCall(NamedTuple):
    """A place in the package that writes to the log."""

    where: str
    level: str
    text: str
    event: str


def log_calls() -> Iterator[LogCall]:
    """Every one of them; C{event} is empty where none is named."""
    for path in sorted((ROOT / "cell0gw").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
                continue
            if not ast.unparse(node.func.value).endswith("log"):
                continue
            events = [each.value for each in node.keywords if each.arg == "event"]
            yield LogCall(
                f"{path.relative_to(ROOT)}:{node.lineno}",
                LEVELS[node.func.attr],
                ast.literal_eval(node.args[0]),
                ast.literal_eval(events[0]) if events else "",
            )


def audited() -> set[str]:
    """The actions that the package writes to the audit log."""
    return {
        node.args[0].value
        for path in (ROOT / "cell0gw").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("record", "refused")
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def pattern(text: str) -> re.Pattern[str]:
    """What a format becomes, whatever is put into it."""
    return re.compile(re.sub(r"\\\{.*?\\\}", ".*", re.escape(text)))


def shape(line: str) -> str:
    """A line of the log without what differs from one session to the next."""
    line = re.sub(r"^\S+Z ", "", line)
    line = re.sub(r"(agent|conn|sess)_\w+", r"\1_", line)
    return re.sub(r"\d+(\.\d+)*:\d+", "ADDRESS:PORT", line)


class LogDocsTests(DocumentTestCase):
    """The log."""

    def test_events(self) -> None:
        """Every line of the log names an event, and the table has each with its level, and no other."""
        calls = list(log_calls())
        part = section(OPERATIONS, "Events in the log")
        table = {event: row[1] for row in rows(part) for event in code(row[0])}
        levels = {call.event: call.level for call in calls}
        self.assertNothing(
            [f"{call.where}: the line names no event; add event=" for call in calls if not call.event]
            + [
                f"{call.where}: {call.event} is written as {call.level}, elsewhere as {levels[call.event]}"
                for call in calls
                if call.level != levels[call.event]
            ]
            + missing(
                part.where,
                levels,
                table,
                "no row for the event `{}`; add one: event, level, when",
                "the row of the event `{}`: no line of the log has it; remove the row",
            )
            + differing(part.where, levels, table, "the level of `{}`")
        )

    def test_samples(self) -> None:
        """The lines that the document shows are such as the gateway writes."""
        formats = [(call.level, pattern(call.text)) for call in log_calls()]
        findings = []
        for line in "".join(blocks(OPERATIONS, "text")).splitlines():
            found = LINE.fullmatch(line)
            if found and not any(level == found[1] and text.fullmatch(found[2]) for level, text in formats):
                findings.append(f"{OPERATIONS.where}: the gateway writes no line like {line!r}; correct it")
        self.assertNothing(findings)

    def story(self, observer: type[TextObserver | JSONObserver]) -> list[str]:
        """The lines about sessions that one that is kept and one that says goodbye bring about."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        with capturedLogs() as events:
            first = gateway.connect("agent_001")
            gateway.connect("agent_002").server.close(4002, "heartbeat timeout")
            first.disconnect()
        observer(stream := StringIO())
        for event in events:
            if event["log_namespace"] == "cell0gw.sessions":
                observer(stream)(event)
        return stream.getvalue().splitlines()

    def test_samples_of_sessions(self) -> None:
        """What the document shows of sessions is word for word what the gateway writes, ids and addresses apart."""
        shown = {shape(line) for line in blocks(section(OPERATIONS, "Logs"), "text")[0].splitlines()}
        self.assertEqual({shape(line) for line in self.story(TextObserver)} - shown, set())

    def test_json_sample(self) -> None:
        """The line of the JSON log that the document shows has the members that the gateway writes."""
        shown = json.loads(blocks(section(OPERATIONS, "Logs"), "text")[1])
        lines = [json.loads(line) for line in self.story(JSONObserver)]
        (written,) = [line for line in lines if line["event"] == shown["event"]]
        self.assertEqual(list(shown), list(written))
        for member in ("level", "logger", "reason", "code"):
            self.assertEqual(shown[member], written[member], member)

    def test_members(self) -> None:
        """The table of members has all that a line may have."""
        part = section(OPERATIONS, "Logs")
        known = ["time", "level", "logger", "message", *FIELDS, "code", "traceback"]
        table = [name for row in rows(part) if len(row) == 2 for name in code(row[0])]
        self.assertNothing(
            missing(
                part.where,
                known,
                table,
                "no row for the member `{}`; add one: member, what it is",
                "the row of the member `{}`: no line has it; remove the row",
            )
        )


class AuditDocsTests(DocumentTestCase):
    """The audit log."""

    def test_actions(self) -> None:
        """The table has every action that is written, and no other."""
        part = section(OPERATIONS, "Audit log")
        self.assertNothing(
            missing(
                part.where,
                sorted(audited()),
                [code(row[0])[0] for row in rows(part)],
                "no row for the action `{}`; add one: action, of what, more members",
                "the row of the action `{}`: nothing writes it; remove the row",
            )
        )


class BackupDocsTests(DocumentTestCase):
    """Backups."""

    def test_private(self) -> None:
        """The command that makes a backup makes a file for its owner alone, however generous the umask is."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        home = Path(folder.name)
        # sqlite3's own program may not be there.
        (shim := home / "sqlite3").write_text(f"#!{sys.executable}\nimport sys\nopen(sys.argv[2].split()[1], 'w')\n")
        shim.chmod(0o755)
        command = blocks(section(OPERATIONS, "Backup and upgrade"), "sh")[0]
        self.addCleanup(os.umask, os.umask(0o022))
        environment = {"PATH": f"{home}:{os.environ['PATH']}", "HOME": str(home)}
        subprocess.run(["sh", "-ec", command], cwd=home, env=environment, check=True)
        (backup,) = home.glob("*.db")
        self.assertEqual(stat.S_IMODE(backup.stat().st_mode), 0o600)
