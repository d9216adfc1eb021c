"""What a user installs: the wheel, the source archive, and the checkout itself."""

from __future__ import annotations

import email
import os
import re
import shutil
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import cell0gw
from cell0gw.protocol.version import SERVER_VERSION
from tests.e2e.documented.fresh import run
from tests.e2e.processes import CHECKOUT

PLUGIN = "twisted/plugins/cell0gw_plugin.py"
GENERATED = {"PKG-INFO", "setup.cfg"}
"""What setuptools writes into a source archive, over what was there."""


def install(folder: Path, *what: str | Path) -> Path:
    """Make a virtual environment and install into it.

    @return: where its commands are.
    """
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    run(folder / "bin" / "pip", "install", "--quiet", *what, cwd=folder.parent)
    return folder / "bin"


@pytest.fixture(scope="module")
def dist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, and the wheel that is built from it, as a package index would hand them out."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, source, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    """The wheel."""
    (built,) = dist.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """What the wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_string(archive.read(name).decode())


@pytest.fixture(scope="module")
def unpacked(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, unpacked where there is nothing else."""
    (archive,) = dist.glob("*.tar.gz")
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    (found,) = folder.iterdir()
    return found


def test_contents_of_the_wheel(wheel: Path) -> None:
    """The wheel has every module, exactly one file below twisted/, and nothing of the tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {str(path.relative_to(CHECKOUT)) for folder in ("cell0gw", "cell0") for path in modules(folder)}
    assert expected <= names
    assert [name for name in names if name.startswith("twisted/")] == [PLUGIN]
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"cell0", "cell0gw", "twisted"}
    assert {"cell0gw/py.typed", "cell0gw/transports/websocket/page.html"} <= names


def test_contents_of_the_source_archive(unpacked: Path, files: set[str]) -> None:
    """The source archive has every file of the repository but git's own, byte for byte, and nothing else but what
    setuptools adds.
    """
    there = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    expected = files - {".gitignore", ".gitattributes"}
    assert expected <= there
    assert {name for name in there - expected if ".egg-info/" not in name} == {"PKG-INFO", "setup.cfg"} - expected
    changed = [
        name for name in expected - GENERATED if (unpacked / name).read_bytes() != (CHECKOUT / name).read_bytes()
    ]
    assert not changed


def test_package_index_takes_both(dist: Path) -> None:
    """Twine finds nothing to complain of in either, the description of the project included."""
    checked = run(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir(), cwd=dist)
    assert checked.count("PASSED") == 2


def test_one_name_and_one_version(metadata: Message, dist: Path) -> None:
    """What is installed is called as its package is, and its version is the package's, which is the server's, too."""
    assert (metadata["Name"], metadata["Version"]) == (cell0gw.__name__, cell0gw.__version__)
    assert f"cell0-{metadata['Version']}" == SERVER_VERSION
    assert {path.name.partition("-")[2][: len(cell0gw.__version__)] for path in dist.iterdir()} == {cell0gw.__version__}


def test_what_an_index_shows(metadata: Message) -> None:
    """The metadata says whose it is, under which licence, for which Pythons, and where everything is."""
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] and metadata["Maintainer"] and metadata["Keywords"]
    urls = dict(url.split(", ") for url in metadata.get_all("Project-URL", []))
    assert {"Homepage", "Repository", "Documentation", "Changelog", "Issues"} <= urls.keys()
    assert all(url.startswith(urls["Repository"]) for url in urls.values())
    classifiers = metadata.get_all("Classifier", [])
    pythons = [name for name in classifiers if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", name)]
    assert f">={pythons[0].rpartition(' ')[2]}" == metadata["Requires-Python"]
    assert f"Programming Language :: Python :: {sys.version_info[0]}.{sys.version_info[1]}" in pythons
    assert "Typing :: Typed" in classifiers
    assert any(name.startswith("Development Status :: ") for name in classifiers)


def test_links_of_the_description(metadata: Message) -> None:
    """Every link of the README is one on an index's page, too: to a heading of it, or absolute; those to files are to
    files that there are.
    """
    description = metadata.get_payload()
    assert isinstance(description, str)
    links = re.findall(r"\]\(([^)]+)\)", description)
    assert links
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    repository = dict(url.split(", ") for url in metadata.get_all("Project-URL", []))["Repository"]
    files = [link for link in links if link.startswith(repository)]
    assert [link for link in files if not link.startswith(f"{repository}/blob/v{cell0gw.__version__}/")] == []
    missing = [link for link in files if not (CHECKOUT / re.split("/blob/[^/]*/|#", link)[1]).exists()]
    assert not missing
    assert description.count("](") == (CHECKOUT / "README.md").read_text("utf-8").count("](")


def test_what_private_parts_are_used_of_is_bounded(metadata: Message) -> None:
    """A release of Autobahn or Twisted that the tests have not seen does not get into a fresh installation: private
    parts of them are used. Each extra has what it is called for.
    """
    needed = metadata.get_all("Requires-Dist", [])
    for name in ("autobahn", "twisted"):
        (line,) = (line for line in needed if line.startswith(name))
        assert "<" in line and ">=" in line
    extras = {"clients", "comparison", "examples", "fuzz", "lint", "schemas", "test"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras


@pytest.mark.long
def test_tests_of_the_source_archive(unpacked: Path, tmp_path: Path) -> None:
    """The tests that read the documents and the code pass in an unpacked source archive, in an environment that has
    nothing but what it asks for, and all others are found there: `make sdist-test` runs them.
    """
    commands = install(tmp_path / "venv", "-e", f"{unpacked}[test]")
    where = run(commands / "python", "-c", "import cell0gw; print(cell0gw.__file__)", cwd=tmp_path)
    assert where.strip() == str(unpacked / "cell0gw" / "__init__.py")
    reading = sorted(str(path.relative_to(unpacked)) for path in (unpacked / "tests").glob("test_*.py"))
    passed = run(commands / "python", "-m", "pytest", "-q", *reading, "tests/config", cwd=unpacked, timeout=600)
    assert re.search(r"^\d{2,} passed in ", passed, re.MULTILINE), passed
    collected = run(commands / "python", "-m", "pytest", "-q", "--collect-only", "tests", cwd=unpacked)
    assert re.search(r"^\d{4,} tests collected in ", collected, re.MULTILINE), collected
    run(commands / "python", "-m", "pytest", "-q", "tests/e2e/documented/test_docs.py", cwd=unpacked)


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
    show = "from cell0gw.transports.websocket.pages import front_page; print(front_page().body.decode())"
    assert "/cell0gw/tree/main/docs</a>" in run(commands / "python", "-c", show, cwd=tmp_path)


def test_editable_install(source: Path, tmp_path: Path) -> None:
    """`pip install -e .` of a fresh copy gives the same, and the code that runs is the copy's."""
    commands = install(tmp_path / "venv", "-e", source)
    assert "cell0gw" in run(commands / "twistd", "--help", cwd=tmp_path)
    where = run(commands / "python", "-c", "import cell0gw; print(cell0gw.__file__)", cwd=tmp_path)
    assert where.strip() == str(source / "cell0gw" / "__init__.py")
    run(commands / "python", "-c", "from cell0.service.gateway_ws import WebSocketGateway", cwd=tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("variant", [0, 1], ids=["make", "pip"])
def test_demo_as_written(source: Path, tmp_path: Path, variant: int) -> None:
    """Each of the ways in which examples/README.md starts the demo does start it, in a fresh clone."""
    text = (source / "examples" / "README.md").read_text("utf-8")
    lines = re.findall("^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[variant].splitlines()
    assert lines[-1] == ("make demo", "python examples/demo.py")[variant]
    copy = shutil.copytree(source, tmp_path / "checkout")
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    path = f"{tmp_path / 'venv' / 'bin'}:{os.environ['PATH']}"
    for line in lines:
        printed = run("sh", "-c", line, cwd=copy, PATH=path)
    assert printed.rstrip().endswith("That was all of it.")
