"""The house stands: every package says at its door what it imports, and there is no way back."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import cell0gw

ROOT = Path(cell0gw.__file__).parent
ENTRANCES = {"__main__", "cli", "tap", "testing", "api"}
"""They may import whatever they want, and nothing imports them."""
PURE = {"__future__", "msgspec", "cell0gw"} | sys.stdlib_module_names - {
    "asyncio", "io", "os", "pathlib", "random", "secrets", "select", "signal", "socket", "sqlite3", "ssl", "subprocess",
    "threading", "time", "tempfile", "urllib", "http",
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
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cell0gw"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def packages() -> dict[str, set[str]]:
    """The packages, each with those that its docstring says it imports."""
    said = {}
    for door in ROOT.glob("*/__init__.py"):
        if door.parent.name not in ENTRANCES:
            found = re.search(r"^Imports: (.*)\.$", ast.get_docstring(ast.parse(door.read_text())) or "", re.M)
            assert found is not None, f"{door} does not say what its package imports"
            said[door.parent.name] = set(found[1].split(", ")) - {"nothing"}
    said["app"] = said.keys() - {"app"}  # it puts everything together
    return said


class FloorsTests(SynchronousTestCase):
    """The floors of the house."""

    def test_doors_say_the_truth(self) -> None:
        """A package imports those that it says, and no others."""
        real: dict[str, set[str]] = {name: set() for name in packages()}
        for name, path in modules():
            package = name.split(".")[0]
            for imported in imports(path):
                other = imported.split(".")[1] if imported.startswith("cell0gw.") else package
                if package in real and other != package and (ROOT / other).exists():
                    real[package].add(other)
        self.assertLessEqual(real.pop("app"), packages()["app"])
        self.assertEqual(real, {name: said for name, said in packages().items() if name != "app"})

    def test_no_way_back(self) -> None:
        """Packages stand above all that they import, and so do modules."""
        graphlib.TopologicalSorter(packages()).prepare()
        names = {f"cell0gw.{name}" for name, _ in modules()}
        graph = {f"cell0gw.{name}": names.intersection(imports(path)) - {f"cell0gw.{name}"} for name, path in modules()}
        graphlib.TopologicalSorter(graph).prepare()

    def test_protocol_is_pure(self) -> None:
        """It knows no Twisted, no input or output, no clock."""
        impure = [
            f"{name} imports {imported}"
            for name, path in modules()
            if name.startswith("protocol.")
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
        """A file that outgrows 300 lines is split by meaning, and a folder that outgrows 15 files is, too."""
        large = [name for name, path in modules() if len(path.read_text().splitlines()) > 300]
        full = [str(folder) for folder in ROOT.rglob("*/") if len(list(folder.glob("*.py"))) > 16]
        self.assertEqual((large, full), ([], []))
