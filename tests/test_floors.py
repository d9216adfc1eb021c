"""The house stands: imports go downwards only."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import cell0gw

ROOT = Path(cell0gw.__file__).parent
FLOORS = [
    "about addresses buckets depth errors filters frames ids jsonrpc ladder limits methods notifications openrpc "
    "patterns permissions printable provenance rules sites statistics subjects suggestions timestamps tokens",
    "interfaces",
    "agents alarms assignments audience audit call calls channel channels clocks connections conversations credentials "
    "directory engines expiries explain glances guard guesses health heartbeat history idempotency known mail mailbox "
    "mailboxes places pools quotas receipts recovery replay resends retention services session sessions throttle "
    "watches workforce",
    "authorisation dispatch",
    "transports",
    "__main__ application awaitable cli config descriptors drain embedded gateway lifecycle logs reconfiguration "
    "reload state systemd tables tap testing values",
]
FLOOR = {module: floor for floor, modules in enumerate(FLOORS) for module in modules.split()}
PURE = {
    "__future__", "array", "ast", "bisect", "collections", "datetime", "difflib", "enum", "functools", "hashlib",
    "hmac", "inspect", "ipaddress", "itertools", "operator", "re", "types", "typing", "msgspec", "cell0gw",
}  # fmt: skip


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name != "__init__":
            yield name, path


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file; C{from cell0gw import x} as C{cell0gw.x}."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "cell0gw":
            yield from (f"cell0gw.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


class FloorsTests(SynchronousTestCase):
    """The floors of the house."""

    def test_every_module_has_a_floor(self) -> None:
        """A new module must say where it belongs."""
        self.assertEqual({name for name, _ in modules() if name.split(".")[0] not in FLOOR}, set())

    def test_downwards_only(self) -> None:
        """No module imports one of a floor above its own."""
        upwards = [
            f"{name} imports {imported}"
            for name, path in modules()
            for imported in imports(path)
            if imported.startswith("cell0gw.") and FLOOR.get(imported.split(".")[1], 0) > FLOOR[name.split(".")[0]]
        ]
        self.assertEqual(upwards, [])

    def test_no_circles(self) -> None:
        """Within a floor, too, imports have one direction."""
        names = {f"cell0gw.{name}" for name, _ in modules()}
        graph = {f"cell0gw.{name}": names.intersection(imports(path)) for name, path in modules()}
        graphlib.TopologicalSorter(graph).prepare()

    def test_ground_floor_is_pure(self) -> None:
        """Floor 0 knows no Twisted, no input or output, no clock."""
        impure = [
            f"{name} imports {imported}"
            for name, path in modules()
            if FLOOR[name.split(".")[0]] == 0
            for imported in imports(path)
            if imported.split(".")[0] not in PURE
        ]
        self.assertEqual(impure, [])

    def test_nobody_chooses_the_reactor(self) -> None:
        """Importing the package imports no reactor: the program chooses it."""
        early = [
            name
            for name, path in modules()
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.ImportFrom)
            and node.module == "twisted.internet"
            and "reactor" in {alias.name for alias in node.names}
        ]
        self.assertEqual(early, [])

    def test_files_stay_small(self) -> None:
        """A file that outgrows 300 lines is split by meaning."""
        large = [name for name, path in modules() if len(path.read_text().splitlines()) > 300]
        self.assertEqual(large, [])
