"""Docstrings as public text."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.rpc.docstrings import markdown, parts


class MarkdownTests(SynchronousTestCase):
    """L{markdown}."""

    def test_epytext(self) -> None:
        """Fields become list items: params by their names, what is returned as C{result}."""
        self.assertEqual(
            markdown("""Greet C{name}.

            @param name: whom, or ``None``.
            @return: what was said.
            @raise KeyError: there is nobody.
            @see: the specification
            """),
            "Greet `name`.\n\n- `name`: whom, or `None`.\n- `result`: what was said.\n- `KeyError`: there is nobody.\n"
            "- the specification",
        )


class PartsTests(SynchronousTestCase):
    """L{parts}."""

    def test_items(self) -> None:
        """Items of known names are taken out, each as one line; all else stays in its paragraphs."""
        text, items = parts(
            """Greet.

            In more
            than one line.

            - `name`: whom to
              greet
            - `other`: stays
            - `result`: the words

            The end.
            """,
            ["name", "result", "missing"],
        )
        self.assertEqual(text, "Greet.\n\nIn more\nthan one line.\n\n- `other`: stays\n\nThe end.")
        self.assertEqual(items, {"name": "whom to greet", "result": "the words"})

    def test_none(self) -> None:
        """A docstring without items, or none at all, has none."""
        self.assertEqual(parts("Greet.", ["name"]), ("Greet.", {}))
        self.assertEqual(parts("", ["name"]), ("", {}))
