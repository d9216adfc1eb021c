"""Documents name options, packages, files, classes, commands and headings that are there."""

from __future__ import annotations

import importlib
import itertools
import re
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from cell0gw.app.reconfiguration import LIVE
from cell0gw.channels.rules import DEFAULT, DURABLE, ChannelRule
from cell0gw.config import options as config
from cell0gw.config.file import RULE
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
    anchors,
    blocks,
    code,
    differing,
    document,
    missing,
    rows,
    section,
)
from tests.test_floors import above, packages

REFERENCE = document("docs/reference/options.md")


class OperationsDocsTests(DocumentTestCase):
    """What docs/reference/options.md, operations.md and the README say of the options."""

    def test_options(self) -> None:
        """Every option has a row with its flag, its variable and its default."""
        table = {code(row[0])[0]: row for row in rows(REFERENCE) if row[0].startswith("<a ")}
        findings = missing(
            REFERENCE.where,
            [option.name for option in OPTIONS],
            table,
            "no row for `{}`; run make reference",
            "the row of `{}`: OPTIONS of cell0gw/config/table.py has no such option; run make reference",
            ordered=True,
        )
        for option in OPTIONS:
            names, default, _, _, reloaded = table.get(option.name, ("", "", "", "", ""))
            _, *flags, variable = code(names) or ["", ""]
            written = {"flags": flags, "variable": variable, "default": default.replace("`", ""), "SIGHUP": reloaded}
            expected = {
                "flags": [] if option.secret else [f"--{option.flag}"],
                "variable": option.variable,
                "default": default_of(option),
                "SIGHUP": "yes" if option.name in LIVE else "no",
            }
            if option.name in table:
                findings += differing(REFERENCE.where, expected, written, f"the {{}} of `{option.name}`")
        self.assertNothing(findings)

    def test_groups(self) -> None:
        """The options stand in the same groups as in the help, those that matter first."""
        found = re.findall(r"^(?:## (.*)|\| <a id=\"[\w-]+\"></a>`(\w+)`.*)$", REFERENCE.text, re.MULTILINE)
        expected = [entry for title, group in GROUPS.items() for entry in (title, *(option.name for option in group))]
        self.assertEqual([title or name for title, name in found], [*expected, "Rules of channels"])
        self.assertEqual(len(next(iter(GROUPS.values()))), 5)

    def test_rules(self) -> None:
        """The keys of a rule of channels have a row each, with both defaults, which are read as what they are."""
        table = {code(row[0])[0]: row[1:3] for row in rows(section(REFERENCE, "Rules of channels"))}
        self.assertEqual(sorted(table), sorted(ChannelRule.__struct_fields__))
        for name, parse in RULE.items():
            for rule, cell in zip((DEFAULT, DURABLE), table[name], strict=True):
                text, in_a_file = "".join(code(cell)), {"true": True, "false": False}
                written = None if cell == "none" else parse(in_a_file.get(text, text))
                self.assertEqual(written, getattr(rule, name), name)

    def test_values(self) -> None:
        """Every option, and every key of a rule, says in words what its value may be."""
        for name, parse in [*((option.name, option.parse) for option in OPTIONS), *RULE.items()]:
            self.assertTrue(parse.__doc__, name)
            self.assertNotIn("@", parse.__doc__ or "", name)

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
        others = [path for pattern in ("*.md", "examples/**/*.md", "deploy/**/*.md") for path in ROOT.glob(pattern)]
        parts = {part.where: part for part in (*DOCUMENTS, *(document(str(path.relative_to(ROOT))) for path in others))}
        self.assertLessEqual({"SECURITY.md", "examples/README.md", "docs/reference/methods.md"}, parts.keys())
        for part in parts.values():
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
