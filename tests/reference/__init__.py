"""The pages of docs/reference, made from the code: `make reference` writes them, a test compares them.

What they say is in the code: the document of C{rpc.discover}, with the docstrings of methods and structs, the tables of
errors, close codes and options, and the rules of channels. Only examples are kept here, in C{examples.md}.
"""

from __future__ import annotations

from tests.reference.errors import close_codes, errors
from tests.reference.markdown import FOLDER, Page, forget
from tests.reference.methods import methods, notifications, objects
from tests.reference.options import options

__all__ = ["FOLDER", "pages"]


def pages() -> dict[str, str]:
    """Each page of the folder, by its file name."""
    forget()
    made = [methods(), notifications(), objects(), errors(), close_codes(), options()]
    return {"README.md": _index(made)} | {page.name: page.text for page in made}


def _index(made: list[Page]) -> str:
    lines = "\n".join(f"| [{page.title}]({page.name}) | {page.about} |" for page in made)
    return f"""\
# Reference

What can be called, sent and set, to look it up. These pages are made from the code by `make reference`; a test compares
them. [protocol.md](../protocol.md) explains how things hang together, [operations.md](../operations.md) how to run the
gateway, and the [glossary](../glossary.md) its ids and terms.

| Page | What it has |
|---|---|
{lines}

`rpc.discover` gives methods, notifications, objects and errors as an OpenRPC document with JSON Schemas, those of a
program's own methods included.
"""
