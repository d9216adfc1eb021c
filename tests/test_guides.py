"""Documents name options, packages, files, classes, commands and headings that are there."""

from __future__ import annotations

import importlib
import itertools
import re
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from cell0gw.config import options as config
from cell0gw.config.help import default_of
from cell0gw.config.table import GROUPS, OPTIONS
from tests.documents import (
    ARCHITECTURE,
    CONTRIBUTING,
    DOCUMENTS,
    OPERATIONS,
    README,
    ROOT,
    DocumentTestCase,
    blocks,
    code,
    differing,
    document,
    missing,
    rows,
    section,
)
from tests.test_floors import above, packages


class OperationsDocsTests(DocumentTestCase):
    """What operations.md and the README say of the options."""

    def test_options(self) -> None:
        """Every option has a row with its flag, its variable and its default."""
        part = section(OPERATIONS, "Options")
        table = {code(row[0])[0]: row[1:4] for row in rows(part)}
        findings = missing(
            part.where,
            [option.name for option in OPTIONS],
            table,
            "no row for `{}`; add one: option, flag, variable, default, what it may be",
            "the row of `{}`: OPTIONS of cell0gw/config/table.py has no such option; remove the row",
            ordered=True,
        )
        for option in OPTIONS:
            flag, variable, default = table.get(option.name, ("", "", ""))
            written = {"flag": flag, "variable": variable, "default": default.replace("`", "")}
            expected = {
                "flag": "none" if option.secret else f"`--{option.flag}`",
                "variable": f"`{option.variable}`",
                "default": default_of(option),
            }
            if option.name in table:
                findings += differing(part.where, expected, written, f"the {{}} of `{option.name}`")
        self.assertNothing(findings)

    def test_groups(self) -> None:
        """The options stand in the same groups as in the help, those that matter first."""
        part = section(OPERATIONS, "Options")
        found = re.findall(r"^(?:\*\*(.*)\*\*|\| `(\w+)` \|.*)$", part.text, re.MULTILINE)
        expected = [entry for title, group in GROUPS.items() for entry in (title, *(option.name for option in group))]
        self.assertEqual([title or name for title, name in found], expected)
        self.assertEqual(len(next(iter(GROUPS.values()))), 5)

    def test_readme_variables(self) -> None:
        """The README's variables are options, with these defaults."""
        part = section(README, "Configuration")
        options = {option.variable: option for option in OPTIONS}
        table = {code(row[0])[0]: code(row[1])[0] for row in rows(part)}
        unknown = [f"{part.where}: `{name}` is no variable of an option; correct it" for name in table.keys() - options]
        parsed = {name: options[name].parse(table[name]) for name in table.keys() & options}
        known = {name: getattr(config.Config(), options[name].name) for name in parsed}
        self.assertNothing(unknown + differing(part.where, known, parsed, "the default of `{}`"))

    def test_configuration_file(self) -> None:
        """The example of a configuration file is one."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        (example,) = blocks(OPERATIONS, "toml")
        (path := Path(folder.name, "cell0gw.toml")).write_text(example)
        loaded, warnings = config.load({}, {}, path)
        self.assertEqual((loaded.heartbeat_timeout, loaded.anonymous_reads, warnings), (45.0, False, []))
        self.assertLessEqual(set(tomllib.loads(example)["gateway"]), {option.name for option in OPTIONS})


class ArchitectureDocsTests(DocumentTestCase):
    """What architecture.md says of the packages."""

    floors = section(ARCHITECTURE, "The floors")

    def test_table(self) -> None:
        """It has every package, below all that import it, in the words of its door."""
        said, where = packages(), f"{self.floors.where}, table"
        words = {code(row[0])[0]: row[1] for row in rows(self.floors)}
        table = list(words)
        findings = missing(
            where,
            said,
            table,
            "no row for the package `{}`; add one below all that import it, with the first line of its door",
            "the row of `{}`: cell0gw has no such package; remove the row",
        )
        findings += [
            f"{where}: `{name}` imports `{other}`, whose row stands above; move the row of `{name}` above it"
            for name, imported in said.items()
            for other in sorted(imported)
            if name in table and other in table and table.index(other) < table.index(name)
        ]
        doors = {name: importlib.import_module(f"cell0gw.{name}").__doc__ or "" for name in said}
        first = {name: door.partition("\n")[0] for name, door in doors.items()}
        self.assertNothing(findings + differing(where, first, words, "what stands beside `{}`"))

    def test_diagram(self) -> None:
        """It has an arrow for every import of a package that does not follow from others, and for nothing else."""
        (diagram,) = blocks(self.floors, "mermaid")
        chains = [re.split(r" --> ", line.strip()) for line in diagram.splitlines() if "-->" in line]
        arrows = [
            f"{one} --> {other}"
            for chain in chains
            for begin, end in itertools.pairwise(chain)
            for one in begin.split(" & ")
            for other in end.split(" & ")
        ]
        said = packages()
        expected = [
            f"{name} --> {other}"
            for name, imported in sorted(said.items())
            for other in sorted(imported)
            if not above(other) & imported
        ]
        add = "no arrow `{}`, an import that does not follow from others; add it"
        remove = "the arrow `{}` is no import, or follows from others; remove it"
        self.assertNothing(missing(f"{self.floors.where}, diagram", expected, arrows, add, remove))


class PlaceDocsTests(DocumentTestCase):
    """What documents point to."""

    def test_links(self) -> None:
        """What the documents link to is there, the heading included."""
        findings = []
        for part in [*DOCUMENTS, CONTRIBUTING, document("NEWS.md"), document("SECURITY.md")]:
            for link in re.findall(r"\]\(([^)]+)\)", part.text):
                path, _, anchor = link.partition("#")
                target = (ROOT / part.where).parent / path if path else ROOT / part.where
                if path.startswith("https:"):
                    continue
                if not target.exists():
                    findings.append(f"{part.where}: the link ({link}) leads to no file; correct the path")
                elif anchor and anchor not in anchors(target.read_text()):
                    findings.append(f"{part.where}: the link ({link}) leads to no heading; correct what follows the #")
        self.assertNothing(findings)

    def test_names(self) -> None:
        """The files, the folders and the classes that architecture.md and CONTRIBUTING.md name are there."""
        modules = [path for folder in ("cell0gw", "tests") for path in (ROOT / folder).rglob("*.py")]
        words = {word for path in modules for word in re.findall(r"\w+", path.read_text())}
        findings = []
        for part in (ARCHITECTURE, CONTRIBUTING):
            findings += [
                f"{part.where}: no file is called `{name}`; correct the path"
                for name in re.findall(r"`([\w/]+\.py)`", part.text)
                if not any(path.match(name) for path in modules)
            ]
            findings += [
                f"{part.where}: there is no folder `{name}`; correct the path"
                for name in re.findall(r"`(\w+(?:/\w+)+/?|\w+/)`", part.text)
                if not any((root / name).is_dir() for root in (ROOT, ROOT / "cell0gw"))
            ]
            findings += [
                f"{part.where}: no code mentions `{name}`; correct the name"
                for name in re.findall(r"`(I?[A-Z][a-z]\w+)", part.text)
                if name not in words
            ]
        self.assertNothing(findings)

    def test_commands(self) -> None:
        """What the documents have make make is in the Makefile; CONTRIBUTING.md has all that is for contributors."""
        makefile = (ROOT / "Makefile").read_text()
        targets = re.findall(r"^(\w[\w-]*):", makefile, re.MULTILINE)
        findings = [
            f"{part.where}: the Makefile has no target for `make {name}`; correct it"
            for part in [*DOCUMENTS, CONTRIBUTING]
            for name in re.findall(r"(?:`|^)make (\w[\w-]*)", part.text, re.MULTILINE)
            if name not in targets
        ]
        named = re.findall(r"`make (\w[\w-]*)", CONTRIBUTING.text)
        findings += [
            f"{CONTRIBUTING.where}: `make {name}` is not named; say what it does and when to run it"
            for name in targets
            if name not in (*named, "run", "clean")
        ]
        self.assertNothing(findings)


def anchors(document: str) -> list[str]:
    """What links lead to: the headings as GitHub names them, the second one of a name with a number."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", document, re.MULTILINE):
        anchor = re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
        earlier = sum(re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", known) is not None for known in found)
        found.append(f"{anchor}-{earlier}" if earlier else anchor)
    return found
