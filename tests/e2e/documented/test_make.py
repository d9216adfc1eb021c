"""What make says when the Python is too old, or the environment is not what it should be: one line, and what to do."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.e2e.processes import CHECKOUT, environment

OLD = """#!/bin/sh
[ "$1" = -c ] || exit 1
exec {python} -c 'import sys; sys.version_info = (3, 10, 13, "final", 0); exec(sys.argv[1])' "$2"
"""
"""A Python that says it were 3.10, which is as much as make asks of it."""


@pytest.fixture
def old_python(tmp_path: Path) -> Path:
    """A Python 3.10."""
    path = tmp_path / "python3.10"
    path.write_text(OLD.format(python=sys.executable))
    path.chmod(0o755)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout, as far as make gets in these tests."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "Makefile").symlink_to(CHECKOUT / "Makefile")
    return folder


def complaint(folder: Path, *arguments: str, **variables: str) -> str:
    """What make says before it fails, which is one line beside its own about the failure."""
    done = subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done
    said, failed = done.stderr.splitlines()
    assert "***" in failed
    assert not done.stdout, done.stdout
    return said


def environment_of(folder: Path, python: Path) -> None:
    """Make a virtual environment whose Python is another one."""
    venv.create(folder / ".venv", symlinks=True)
    (folder / ".venv" / "bin" / "python").unlink()
    (folder / ".venv" / "bin" / "python").symlink_to(python)


@pytest.mark.parametrize("goal", ["run", "demo", "test", "lint"])
def test_old_python(folder: Path, old_python: Path, goal: str) -> None:
    """A Python that is too old is called so, with the command that chooses another one, and nothing is left behind that
    would be in its way.
    """
    said = complaint(folder, goal, f"PYTHON={old_python}")
    assert said == f"make: {old_python} is Python 3.10, cell0gw needs 3.11 or newer: make {goal} PYTHON=python3.11"
    assert not (folder / ".venv").exists()


def test_no_python(folder: Path) -> None:
    """A Python that there is not is called so."""
    said = complaint(folder, "run", "PYTHON=python3.99")
    assert said == "make: python3.99 does not run; choose another one: make run PYTHON=python3.11"


@pytest.mark.parametrize("chosen", [(), (f"PYTHON={sys.executable}",)], ids=["default", "chosen"])
def test_environment_of_an_old_python(folder: Path, old_python: Path, chosen: tuple[str, ...]) -> None:
    """An environment that was made with a Python that is too old is in the way, whatever Python is chosen."""
    environment_of(folder, old_python)
    said = complaint(folder, "run", *chosen)
    assert said == (
        "make: .venv has Python 3.10, cell0gw needs 3.11 or newer: rm -rf .venv, then make run PYTHON=python3.11"
    )


def test_environment_of_a_python_that_is_gone(folder: Path) -> None:
    """An environment whose Python was removed is in the way."""
    environment_of(folder, folder / "gone")
    assert complaint(folder, "run") == (
        "make: the Python that .venv was made with is gone: rm -rf .venv, then try again"
    )


def test_environment_of_another_python(folder: Path, old_python: Path) -> None:
    """Who asks for a Python does not get an environment of another one without a word."""
    venv.create(folder / ".venv", symlinks=True)
    own = ".".join(map(str, sys.version_info[:2]))
    said = complaint(folder, "run", f"PYTHON={old_python}")
    assert said == (
        f"make: .venv has Python {own}, not that of {old_python}: rm -rf .venv, or another folder: VENV=.venv-other"
    )
    assert complaint(folder, "run", PYTHON=str(old_python)) == said


def test_what_is_right(folder: Path) -> None:
    """Make has nothing to say about an environment that will do, nor about a Python, asked for or not."""
    for arguments in ((), (f"PYTHON={sys.executable}",)):
        subprocess.run(["make", ".python", *arguments], cwd=folder, env=environment(), check=True)
    venv.create(folder / ".venv", symlinks=True)
    for arguments in ((), (f"PYTHON={sys.executable}",)):
        subprocess.run(["make", ".python", *arguments], cwd=folder, env=environment(), check=True)
