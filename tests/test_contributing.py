"""CONTRIBUTING.md: its worked example is a method that works, and tests fail as it says until it is documented."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from twisted.trial.reporter import TestResult
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.rpc import lookup
from tests import test_docs
from tests.documents import CONTRIBUTING, DocumentTestCase, Part, blocks, missing
from tests.reference import pages
from tests.reference.markdown import forget

PLACE = re.compile(r"# ([\w/]+)\.py, in class (\w+)\n")
"""How each piece of the example begins."""


def pieces() -> Iterator[tuple[type, str, Callable[..., Any]]]:
    """The functions of the example: the class that each is for, its name, and itself."""
    for block in blocks(CONTRIBUTING, "python"):
        place = PLACE.match(block)
        assert place is not None, f"{CONTRIBUTING.where}: begin this with a line `# path.py, in class Name`:\n{block}"
        module = importlib.import_module(place[1].replace("/", "."))
        names = dict(vars(module))
        exec(compile(block, f"{CONTRIBUTING.where}, {place[1]}", "exec"), names)
        (name,) = names.keys() - vars(module).keys()
        yield getattr(module, place[2]), name, names[name]


def complaints(case: SynchronousTestCase) -> list[str]:
    """Run one test.

    @return: the lines in which it says what is wrong; none if it passes.
    """
    result = TestResult()
    case.run(result)
    return [line for _, fault in [*result.failures, *result.errors] for line in fault.getErrorMessage().splitlines()]


class WorkedExampleTests(DocumentTestCase):
    """The example, with its pieces where it puts them."""

    def setUp(self) -> None:
        self.pieces = list(pieces())
        for owner, name, function in self.pieces:
            self.assertFalse(hasattr(owner, name), f"{owner.__name__} has a {name} by now: find another example")
            setattr(owner, name, function)
            self.addCleanup(delattr, owner, name)
        lookup._verbs.cache_clear()
        self.addCleanup(lookup._verbs.cache_clear)

    def complaints_of_documents(self) -> list[str]:
        """What the tests of the documents say of methods."""
        case = test_docs.MethodDocsTests
        return [line for name in dir(case) if name.startswith("test_") for line in complaints(case(name))]

    def test_works(self) -> None:
        """The method does what the example's own test expects."""
        _, _, (owner, name, _) = self.pieces
        self.assertNothing(f"{CONTRIBUTING.where}, {name}: {line}" for line in complaints(owner(name)))

    def test_messages(self) -> None:
        """Undocumented, it makes tests fail with the messages that are shown, and no others."""
        said, (shown,) = self.complaints_of_documents(), blocks(CONTRIBUTING, "text")
        add, remove = "the messages lack {!r}; add it", "the messages have {!r}, which no test says; remove it"
        self.assertNothing(missing(CONTRIBUTING.where, said, shown.splitlines(), add, remove))

    def test_documented(self) -> None:
        """With the row that is shown, and with the pages made anew, they pass."""
        (row,) = blocks(CONTRIBUTING, "markdown")
        readme, methods = test_docs.README, test_docs.METHODS
        self.addCleanup(forget)
        above = "| `presence.get` |"
        self.patch(test_docs, "README", Part(readme.where, readme.text.replace(above, row + above)))
        self.patch(test_docs, "METHODS", Part(methods.where, pages()["methods.md"]))
        self.assertNothing(f"{CONTRIBUTING.where}, with its example: {line}" for line in self.complaints_of_documents())
