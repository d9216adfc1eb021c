"""What a user installs: the wheel, and the checkout itself."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.e2e.processes import CHECKOUT, environment

PLUGIN = "twisted/plugins/cell0gw_plugin.py"


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that must succeed.

    @return: what it printed.
    """
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def install(folder: Path, *what: str | Path) -> Path:
    """Make a virtual environment and install into it.

    @return: where its commands are.
    """
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    run(folder / "bin" / "pip", "install", "--quiet", *what, cwd=folder.parent)
    return folder / "bin"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout as a fresh clone would have it."""
    copy = tmp_path_factory.mktemp("source") / "checkout"
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=CHECKOUT)
    for name in filter(None, names.split("\0")):
        if (CHECKOUT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((CHECKOUT / name).read_bytes())
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution, as a package index would hand it out."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_contents_of_the_wheel(wheel: Path) -> None:
    """The wheel has every module, exactly one file below twisted/, and nothing of the tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {str(path.relative_to(CHECKOUT)) for folder in ("cell0gw", "cell0") for path in modules(folder)}
    assert expected <= names
    assert [name for name in names if name.startswith("twisted/")] == [PLUGIN]
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"cell0", "cell0gw", "twisted"}
    assert "cell0gw/py.typed" in names


def modules(folder: str) -> list[Path]:
    """Every module below a folder of the checkout."""
    return [path for path in (CHECKOUT / folder).rglob("*.py") if "__pycache__" not in path.parts]


def test_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    """The installed wheel gives twistd the command beside its own ones, and Python the documented import."""
    commands = install(tmp_path / "venv", wheel)
    listed = run(commands / "twistd", "--help", cwd=tmp_path)
    assert "cell0gw" in listed
    assert " web " in listed
    assert "--port=" in run(commands / "twistd", "cell0gw", "--help", cwd=tmp_path)
    run(commands / "python", "-c", "from cell0.service.gateway_ws import WebSocketGateway", cwd=tmp_path)
    run(commands / "python", "-c", "import cell0gw.testing", cwd=tmp_path)


def test_editable_install(source: Path, tmp_path: Path) -> None:
    """`pip install -e .` of a fresh copy gives the same, and the code that runs is the copy's."""
    commands = install(tmp_path / "venv", "-e", source)
    assert "cell0gw" in run(commands / "twistd", "--help", cwd=tmp_path)
    where = run(commands / "python", "-c", "import cell0gw; print(cell0gw.__file__)", cwd=tmp_path)
    assert where.strip() == str(source / "cell0gw" / "__init__.py")
    run(commands / "python", "-c", "from cell0.service.gateway_ws import WebSocketGateway", cwd=tmp_path)
