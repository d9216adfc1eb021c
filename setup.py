"""README.md as PyPI shows it, where links into the repository must be absolute. All else is in pyproject.toml."""

import re
import sys
from pathlib import Path

from setuptools import setup

if sys.version_info < (3, 11):  # noqa: UP036  # pip looks at requires-python when it is too late for a clear message
    version = ".".join(map(str, sys.version_info[:3]))
    sys.exit(f"cell0gw needs Python 3.11 or newer; {sys.executable} is Python {version}")

ROOT = Path(__file__).parent
RELATIVE = r"\]\((?!https?://|#)([^)]+)\)"


def described():
    """README.md, with links to the files of this version: the repository has a tag with its name."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (version,) = re.findall('^__version__ = "(.*)"', (ROOT / "cell0gw" / "__init__.py").read_text("utf-8"), re.M)
    readme = (ROOT / "README.md").read_text("utf-8")
    return re.sub(RELATIVE, rf"]({project['urls']['Repository']}/blob/v{version}/\1)", readme)


setup(long_description=described(), long_description_content_type="text/markdown")
