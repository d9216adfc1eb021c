"""The Dockerfile, the compose file and the manifest: linted, consistent, and run as far as that goes without Docker.

No image is built here, since that takes a registry of base images, and no cluster is there: the Dockerfile's own
commands make a virtual environment instead, and namespaces are the container.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from cell0gw.config.options import Config, load
from cell0gw.tap import CLOSING
from tests.documents import blocks, document
from tests.e2e.clients import Client
from tests.e2e.conftest import StartGateway
from tests.e2e.deploy.dockerfile import DOCKER, excluded, exec_form, included, instructions, only
from tests.e2e.process.test_containers import PROCESS_ONE, READ_ONLY, mounts, namespaces
from tests.e2e.processes import ADMIN_TOKEN, BIN, CHECKOUT, environment, run_to_end

PAGE = document("docs/how-to/containers.md")
COMPOSE = DOCKER / "compose.yaml"
MANIFEST = CHECKOUT / "deploy" / "kubernetes" / "cell0gw.yaml"
STATE = "/var/lib/cell0gw"
NOT_INSTALLED = "{} is not installed: `make lint` installs it"


def tool(name: str) -> str:
    """A linter that is a program."""
    path = shutil.which(name, path=f"{BIN}:{os.environ['PATH']}")
    if path is None:
        pytest.skip(NOT_INSTALLED.format(name))
    return path


def library(name: str) -> Any:
    """A linter that is a library."""
    return pytest.importorskip(name, reason=NOT_INSTALLED.format(name))


def seconds(duration: str) -> int:
    """A duration of seconds, as files have it."""
    return int(duration.removesuffix("s"))


def test_dockerfile_linted(tmp_path: Path) -> None:
    """hadolint has nothing to say of the Dockerfile."""
    outcome = run_to_end([tool("hadolint"), DOCKER / "Dockerfile"], environment(), tmp_path)
    assert (outcome.status, outcome.output) == (0, "")


def test_dockerfile() -> None:
    """The image runs the gateway as process 1, as a user with a number, with its state in the volume, on its own port;
    both stages have the same Python, one that is tested.
    """
    build, image = (line.rest.split()[0] for line in instructions() if line.name == "FROM")
    assert build == image
    version = re.fullmatch(r"python:(3\.\d+)-slim", image)
    assert version and f"Python :: {version[1]}" in (CHECKOUT / "pyproject.toml").read_text("utf-8")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", only("USER"))
    assert only("VOLUME") == only("WORKDIR") == STATE
    assert only("EXPOSE") == str(Config().port)
    assert only("STOPSIGNAL") == "SIGTERM"
    assert exec_form(only("ENTRYPOINT")) == ["twistd", "-n", "--pidfile=", "cell0gw", "--state-dir", STATE]
    assert str(Config().port) in exec_form(only("HEALTHCHECK"))[2]


def test_what_the_build_is_sent() -> None:
    """The build is sent what the Dockerfile copies, and no more; it is there, and makes the whole wheel."""
    copied = [word for line in instructions() if line.name == "COPY" for word in line.rest.split()[:-1]]
    assert sorted(included()) == sorted(copied)
    assert [name for name in copied if not (CHECKOUT / name).exists()] == []
    packages = re.findall(r"^    ([\w.]+)$", (CHECKOUT / "setup.cfg").read_text("utf-8"), re.MULTILINE)
    assert {name.split(".")[0] for name in packages} <= set(copied)


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """A folder like the image: made by the commands of the Dockerfile, from what its build is sent, with a virtual
    environment in place of the image's Python.
    """
    with TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        for entry in included():
            if (CHECKOUT / entry).is_dir():
                shutil.copytree(CHECKOUT / entry, root / "source" / entry, ignore=shutil.ignore_patterns(*excluded()))
            else:
                (root / "source").mkdir(exist_ok=True)
                shutil.copy(CHECKOUT / entry, root / "source" / entry)
        subprocess.run([sys.executable, "-m", "venv", root / "venv"], check=True, timeout=300)
        (root / "var").mkdir()
        env = environment(PYTHONPATH=None, PATH=f"{root}/venv/bin:{os.environ['PATH']}")
        for line in instructions():
            if line.name == "RUN":
                command = re.sub(r"--mount=\S+", "", line.rest).replace(STATE, f"{root}/var/cell0gw")
                command = command.replace("/wheels", f"{root}/wheels")
                done = subprocess.run(
                    ["sh", "-ec", command],
                    cwd=root / "source",
                    env=env,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=600,
                    check=False,
                )
                assert done.returncode == 0, done.stdout
        yield root


@pytest.mark.long
@namespaces
@mounts
def test_image(image: Path, start_gateway: StartGateway) -> None:
    """What the Dockerfile builds serves by its entry point as process 1, as its user, with only the state folder to
    write to; the health check passes; SIGTERM drains, and then the health check fails.
    """
    user, group = only("USER").split(":")
    assert (image / "var/cell0gw").stat().st_uid == int(user)
    assert list(image.glob("venv/lib/*/site-packages/twisted/plugins/dropin.cache")), "twistd can't write it later"
    program, *arguments = (word.replace(STATE, f"{image}/var/cell0gw") for word in exec_form(only("ENTRYPOINT")))
    as_user = ("setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs", "--bounding-set=-all")
    gateway = start_gateway(
        "--host", "127.0.0.1", "--port", "0",
        state_dir=image / "var" / "cell0gw",
        command=(*READ_ONLY, image / "var/cell0gw", *PROCESS_ONE, *as_user, image / "venv/bin" / program, *arguments),
        place=False,
        PYTHONPATH=None,
    )  # fmt: skip

    def healthy() -> int:
        _, *check = exec_form(only("HEALTHCHECK"))
        check = [word.replace(str(Config().port), str(gateway.port)) for word in check]
        return run_to_end([image / "venv/bin/python", *check], environment(), image).status

    with Client(gateway, ADMIN_TOKEN) as client:
        assert client.call("channel.publish", channel="events", message=1)["success"]
        assert healthy() == 0
        (inner,) = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()
        status = Path(f"/proc/{inner}/status").read_text()
        assert re.search(rf"^Uid:\t{user}\t", status, re.MULTILINE)
        assert re.search(r"^NSpid:.*\t1$", status, re.MULTILINE)
        os.kill(int(inner), signal.SIGTERM)
        assert client.close_code() == 4001
    assert gateway.wait() == 0
    assert healthy() == 1


def test_compose() -> None:
    """Compose reads the file; the container may write its state only, gets its options from the secret, and is waited
    for as long as a drain may take.
    """
    text = COMPOSE.read_text("utf-8")
    library("compose_spec").PyCompose.from_yaml(text).validate()
    file = library("yaml").safe_load(text)
    (service,) = file["services"].values()
    ((secret, source),) = file["secrets"].items()
    assert service["secrets"] == [secret]
    assert source["file"] == "./cell0gw.toml"
    assert service["environment"]["CELL0_GATEWAY_CONFIG"] == f"/run/secrets/{secret}"
    assert (COMPOSE.parent / service["build"]["context"]).resolve() == CHECKOUT
    assert (CHECKOUT / service["build"]["dockerfile"]).exists()
    assert service["volumes"] == [f"{next(iter(file['volumes']))}:{only('VOLUME')}"]
    assert service["ports"] == [f"127.0.0.1:{Config().port}:{only('EXPOSE')}"]
    assert seconds(service["stop_grace_period"]) > Config().drain_timeout + CLOSING
    assert (service["restart"], service["read_only"], service["cap_drop"]) == ("unless-stopped", True, ["ALL"])


def test_compose_by_docker(tmp_path: Path) -> None:
    """Docker's own command takes the compose file."""
    docker = shutil.which("docker")
    if docker is None or run_to_end([docker, "compose", "version"], environment(), tmp_path).status:
        pytest.skip("docker compose is not installed")
    outcome = run_to_end([docker, "compose", "--file", COMPOSE, "config", "--quiet"], environment(), tmp_path)
    assert outcome.status == 0, outcome.output


@pytest.fixture
def manifest() -> dict[str, Any]:
    """The objects of the manifest, by their kinds."""
    found = list(library("yaml").safe_load_all(MANIFEST.read_text("utf-8")))
    objects = {one["kind"]: one for one in found}
    assert len(objects) == len(found)
    return objects


def test_manifest_by_schema(manifest: dict[str, Any]) -> None:
    """Every object is one by the schema of the oldest release that the manifest names, and of the latest."""
    validator = library("kubernetes_validate")
    (oldest,) = re.findall(r"Kubernetes, (1\.\d+) or newer", MANIFEST.read_text("utf-8"))
    for one in manifest.values():
        for version in (oldest, validator.latest_version()):
            validator.validate(one, version, strict=True)


def test_manifest_fits_together(manifest: dict[str, Any]) -> None:
    """What the objects name is there: labels, the claim, the options, the port, and what the image has."""
    deployment = manifest["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == manifest["Service"]["spec"]["selector"] == labels
    assert manifest["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    volumes = {volume.pop("name"): volume for volume in pod["volumes"]}
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert volumes.keys() == mounted.keys()
    claim, options = manifest["PersistentVolumeClaim"], manifest["ConfigMap"]
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert volumes["options"]["configMap"]["name"] == options["metadata"]["name"]
    assert mounted["state"] == only("VOLUME")
    (file,) = options["data"]
    assert container["env"][0] == {"name": "CELL0_GATEWAY_CONFIG", "value": f"{mounted['options']}/{file}"}
    (port,) = container["ports"]
    assert port["containerPort"] == Config().port
    assert [entry["targetPort"] for entry in manifest["Service"]["spec"]["ports"]] == [port["name"]]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        (kind,) = container[probe].keys() & {"tcpSocket", "httpGet"}
        assert container[probe][kind]["port"] == port["name"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/health"


def test_manifest_is_restricted(manifest: dict[str, Any]) -> None:
    """The pod may do no more than Kubernetes' own standard "restricted" allows, and less: its root is read-only."""
    pod = manifest["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    user, group = map(int, only("USER").split(":"))
    expected = {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": group, "fsGroup": group}
    assert expected.items() <= pod["securityContext"].items()
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (pod["enableServiceLinks"], pod["automountServiceAccountToken"]) == (False, False)


def test_manifest_options(manifest: dict[str, Any], tmp_path: Path) -> None:
    """The gateway takes the manifest's options; its drain ends before Kubernetes kills it."""
    (text,) = manifest["ConfigMap"]["data"].values()
    (tmp_path / "cell0gw.toml").write_text(text)
    config, warnings = load({}, {}, tmp_path / "cell0gw.toml")
    assert warnings == []
    assert 0 < config.drain_accept < config.drain_timeout
    pod = manifest["Deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > config.drain_timeout + CLOSING
    assert "tls_cert" not in text, "the probes speak plain HTTP"


def test_page(tmp_path: Path) -> None:
    """The page makes a configuration file with a token that the gateway takes, for its owner alone; its commands are
    those of the files' own heads, and name files that are there.
    """
    (make,) = blocks(PAGE, "sh")
    outcome = run_to_end(["sh", "-ec", make], environment(), tmp_path)
    assert (outcome.status, outcome.output) == (0, "")
    assert (tmp_path / "cell0gw.toml").stat().st_mode & 0o077 == 0
    config, warnings = load({}, {}, tmp_path / "cell0gw.toml")
    assert (config.admin_token, warnings) == (
        tomllib.loads((tmp_path / "cell0gw.toml").read_text())["gateway"]["admin_token"],
        [],
    )
    commands = [line for block in blocks(PAGE, "text") for line in block.splitlines()]
    heads = "".join(path.read_text("utf-8") for path in (DOCKER / "Dockerfile", COMPOSE))
    assert [
        line for line in commands if line.startswith(("docker build", "docker compose")) and line not in heads
    ] == []
    named = [word for line in commands for word in line.split() if word.startswith("deploy/")]
    assert named and all((CHECKOUT / word).is_file() for word in named)
    user, _ = only("USER").split(":")
    assert f"sudo chown {user} cell0gw.toml" in commands
    (run,) = (line for line in commands if line.startswith("docker run"))
    (grace,) = re.findall(r"--stop-timeout (\d+)", run)
    assert int(grace) > Config().drain_timeout + CLOSING
    assert f":{only('VOLUME')} " in run
