"""For pytest only: what tests leave behind stays out of the checkout, as C{trial} keeps it in C{_trial_temp}."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest

from tests.failing_writes import pytest_runtest_call, pytest_runtest_makereport

__all__ = ["pytest_runtest_call", "pytest_runtest_makereport"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """See L{tests.failing_writes}."""
    about = "run each unit test with connections that end at their Nth write, and look what is left of them"
    parser.addoption("--failing-write", type=int, default=0, metavar="N", help=about)
    parser.addoption("--failing-how", choices=["behind", "broken"], default="behind", help="how they end")


@pytest.fixture(autouse=True, scope="session")
def in_a_folder_of_its_own() -> Iterator[None]:
    """Twisted's C{mktemp} makes its folders where the process is."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="cell0gw-tests-") as folder:
        os.chdir(folder)
        yield
        os.chdir(before)
