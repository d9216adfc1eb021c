"""For pytest only: what tests leave behind stays out of the checkout, as C{trial} keeps it in C{_trial_temp}."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def in_a_folder_of_its_own() -> Iterator[None]:
    """Twisted's C{mktemp} makes its folders where the process is."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="cell0gw-tests-") as folder:
        os.chdir(folder)
        yield
        os.chdir(before)
