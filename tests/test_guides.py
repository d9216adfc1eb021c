"""README.md, docs/operations.md and docs/architecture.md name options, packages and places that are there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from cell0gw.config import options as config
from tests.documents import (
    ARCHITECTURE,
    DOCUMENTS,
    OPERATIONS,
    README,
    ROOT,
    DocumentTestCase,
    blocks,
    code,
    differing,
    missing,
    rows,
    section,
)
from tests.test_floors import packages


class OperationsDocsTests(DocumentTestCase):
    """What operations.md and the README say of the options."""

    def test_options(self) -> None:
        """Every option has a row with its flag, its variable and its default."""
        part = section(OPERATIONS, "Options")
        table = {code(row[0])[0]: row[1:4] for row in rows(part)}
        findings = missing(
            part.where,
            [option.name for option in config.OPTIONS],
            table,
            "no row for `{}`; add one: option, flag, variable, default, what it may be",
            "the row of `{}`: OPTIONS of cell0gw/config/options.py has no such option; remove the row",
            ordered=True,
        )
        for option in config.OPTIONS:
            flag, variable, default = table.get(option.name, ("", "", ""))
            known = getattr(config.Config(), option.name)
            written = {"flag": flag, "variable": variable, "default": default}
            expected = {"flag": "none" if option.secret else f"`--{option.flag}`", "variable": f"`{option.variable}`"}
            if default.startswith("`"):
                written["default"], expected["default"] = option.parse(code(default)[0]), known
            elif known not in (None, ()):
                expected["default"] = f"`{known}`"
            if option.name in table:
                findings += differing(part.where, expected, written, f"the {{}} of `{option.name}`")
        self.assertNothing(findings)

    def test_readme_variables(self) -> None:
        """The README's variables are options, with these defaults."""
        part = section(README, "Configuration")
        options = {option.variable: option for option in config.OPTIONS}
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
        self.assertLessEqual(set(tomllib.loads(example)["gateway"]), {option.name for option in config.OPTIONS})


class ArchitectureDocsTests(DocumentTestCase):
    """What architecture.md says of the packages."""

    def test_floors(self) -> None:
        """architecture.md has every package, below all that import it."""
        part = section(ARCHITECTURE, "The floors")
        table = [name for row in rows(part) for name in code(row[0])]
        findings = missing(
            part.where,
            packages(),
            table,
            "no row for the package `{}`; add one below all that import it, with the first line of its door",
            "the row of `{}`: cell0gw has no such package; remove the row",
        )
        above = [
            f"{part.where}: `{name}` imports `{other}`, whose row stands above; move the row of `{name}` above it"
            for name, imported in packages().items()
            for other in sorted(imported)
            if name in table and other in table and table.index(other) < table.index(name)
        ]
        self.assertNothing(findings + above)

    def test_names(self) -> None:
        """The files and the classes that architecture.md names are there."""
        modules = [path for folder in ("cell0gw", "tests") for path in (ROOT / folder).rglob("*.py")]
        findings = [
            f"{ARCHITECTURE.where}: no file is called `{name}`; correct the path"
            for name in re.findall(r"`([\w/]+\.py)`", ARCHITECTURE.text)
            if not any(path.match(name) for path in modules)
        ]
        words = {word for path in modules for word in re.findall(r"\w+", path.read_text())}
        findings += [
            f"{ARCHITECTURE.where}: no code mentions `{name}`; correct the name"
            for name in re.findall(r"`(I?[A-Z][a-z]\w+)", ARCHITECTURE.text)
            if name not in words
        ]
        self.assertNothing(findings)


class PlaceDocsTests(DocumentTestCase):
    """What documents point to."""

    def test_links(self) -> None:
        """What the documents link to is there, the heading included."""
        findings = []
        for part in DOCUMENTS:
            for link in re.findall(r"\]\(([^)]+)\)", part.text):
                path, _, anchor = link.partition("#")
                target = (ROOT / part.where).parent / path if path else ROOT / part.where
                if not target.exists():
                    findings.append(f"{part.where}: the link ({link}) leads to no file; correct the path")
                elif anchor and anchor not in anchors(target.read_text()):
                    findings.append(f"{part.where}: the link ({link}) leads to no heading; correct what follows the #")
        self.assertNothing(findings)


def anchors(document: str) -> list[str]:
    """What links lead to: the headings as GitHub names them, the second one of a name with a number."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", document, re.MULTILINE):
        anchor = re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
        earlier = sum(re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", known) is not None for known in found)
        found.append(f"{anchor}-{earlier}" if earlier else anchor)
    return found
