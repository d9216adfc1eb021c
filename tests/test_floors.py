"""The house stands: every package says at its door what it imports, and there is no way back."""

from __future__ import annotations

import ast
import configparser
import graphlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import cell0gw
from tests.documents import DocumentTestCase, missing

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


def shown(path: Path) -> str:
    """A path as messages give it: C{cell0gw/channels/broker.py}."""
    return str(path.relative_to(ROOT.parent))


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
            if found is None:
                raise AssertionError(
                    f"{shown(door)}: no line `Imports: ...`; end the docstring with it: the packages that this one "
                    "imports, with commas between them, or nothing, and a full stop"
                )
            said[door.parent.name] = set(found[1].split(", ")) - {"nothing"}
    said["app"] = said.keys() - {"app"}  # it puts everything together
    return said


def above(package: str) -> set[str]:
    """The packages that import this one, at first hand or by others."""
    said = packages()
    found: set[str] = set()
    while more := {name for name, imported in said.items() if imported & {package, *found}} - found:
        found |= more
    return found


class FloorsTests(DocumentTestCase):
    """The floors of the house."""

    def test_doors_say_the_truth(self) -> None:
        """A package imports those that it says, and no others."""
        real: dict[str, dict[str, Path]] = {name: {} for name in packages()}
        for name, path in modules():
            package = name.split(".")[0]
            for imported in imports(path):
                other = imported.split(".")[1] if imported.startswith("cell0gw.") else package
                if package in real and other != package and ((ROOT / other).exists() or other in ENTRANCES):
                    real[package].setdefault(other, path)
        findings = []
        for package, said in packages().items():
            door = f"cell0gw/{package}/__init__.py"
            for other in sorted(real[package].keys() - said):
                what_to_do = f"add it to `Imports:` of {door}"
                if other in ENTRANCES:
                    what_to_do = "an entrance, which nothing imports; import from the package that has what you need"
                elif other in above(package):
                    what_to_do = f"{other} imports {package}, itself or by others: move what both need below them"
                findings.append(f"{shown(real[package][other])} imports {other}, the door doesn't say so: {what_to_do}")
            if package != "app":
                for other in sorted(said - real[package].keys()):
                    findings.append(f"{door} says it imports {other}, the code doesn't: remove it from `Imports:`")
        self.assertNothing(findings)

    def test_inner_doors_say_the_truth(self) -> None:
        """A folder within a package says what of the rest of the package it imports, and no more."""
        findings = []
        for door in sorted(ROOT.glob("*/*/__init__.py")):
            folder, package = door.parent, door.parents[1]
            beside = {
                path.stem for path in package.iterdir() if path != folder and (path.is_dir() or path.suffix == ".py")
            }
            names = [imported.split(".") for path in folder.glob("*.py") for imported in imports(path)]
            real = {name[2] for name in names if name[:2] == ["cell0gw", package.name] and len(name) > 2} & beside
            expected = f"Imports of {package.name}: {', '.join(sorted(real)) or 'nothing'}."
            if expected not in (ast.get_docstring(ast.parse(door.read_text())) or ""):
                findings.append(f"{shown(door)}: end the docstring with the line `{expected}`")
        self.assertNothing(findings)

    def test_no_way_back(self) -> None:
        """Packages stand above all that they import, and so do modules."""
        names = {f"cell0gw.{name}" for name, _ in modules()}
        graph = {f"cell0gw.{name}": names.intersection(imports(path)) - {f"cell0gw.{name}"} for name, path in modules()}
        findings = []
        for kind, edges in (("packages", packages()), ("modules", graph)):
            try:
                graphlib.TopologicalSorter(edges).prepare()
            except graphlib.CycleError as failure:
                circle = " -> ".join(reversed(failure.args[1]))
                findings.append(f"{kind} import each other in a circle: {circle}; move what both need below them")
        self.assertNothing(findings)

    def test_protocol_is_pure(self) -> None:
        """It knows no Twisted, no input or output, no clock."""
        self.assertNothing(
            f"{shown(path)} imports {imported}, and protocol/ is pure: hand in what is needed, or move the module"
            for name, path in modules()
            if name.startswith("protocol.")
            for imported in imports(path)
            if imported.split(".")[0] not in PURE
        )

    def test_nobody_chooses_the_reactor(self) -> None:
        """Importing the package imports no reactor: the program chooses it."""
        self.assertNothing(
            f"{shown(path)} imports the reactor when it is imported itself: take a clock, or import it where it is used"
            for name, path in modules()
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.ImportFrom)
            and node.module == "twisted.internet"
            and "reactor" in {alias.name for alias in node.names}
        )

    def test_files_stay_small(self) -> None:
        """A file that outgrows 300 lines is split by meaning, and a folder that outgrows 15 files is, too."""
        lines = {path: len(path.read_text().splitlines()) for _, path in modules()}
        files = {folder: len(list(folder.glob("*.py"))) - 1 for folder in ROOT.rglob("*/")}
        self.assertNothing(
            [f"{shown(path)} has {n} lines, at most 300: split it by meaning" for path, n in lines.items() if n > 300]
            + [f"{shown(path)} has {n} files, at most 15 and its door: split it" for path, n in files.items() if n > 15]
        )

    def test_packages_are_installed(self) -> None:
        """setup.cfg lists every package, or it is missing in what users install."""
        setup = configparser.ConfigParser()
        setup.read(ROOT.parent / "setup.cfg")
        self.assertNothing(
            missing(
                "setup.cfg, packages",
                [shown(door.parent).replace("/", ".") for door in sorted(ROOT.rglob("__init__.py"))],
                [name for name in setup["options"]["packages"].split() if name.startswith("cell0gw")],
                "no line {}; add one",
                "the line {}: there is no such package; remove it",
            )
        )
