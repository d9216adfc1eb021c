"""Gateways for the tests of this folder; each must end with exit status 0."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.chromium import Tab
from tests.e2e.processes import ADMIN_TOKEN, TWISTD, GatewayProcess, environment

StartGateway = Callable[..., GatewayProcess]
OpenTab = Callable[[str], Tab]


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[StartGateway]:
    """Starts gateways: C{start_gateway(*flags, CELL0_GATEWAY_X=...)} and the params of L{GatewayProcess}."""
    started: list[GatewayProcess] = []

    def start(
        *flags: str,
        state_dir: Path = tmp_path / "state",
        command: Iterable[str | Path] = TWISTD,
        place: bool = True,
        pass_fds: Sequence[int] = (),
        **variables: str | None,
    ) -> GatewayProcess:
        env = environment(**{"CELL0_GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN} | variables)
        started.append(
            GatewayProcess(*flags, state_dir=state_dir, env=env, command=command, place=place, pass_fds=pass_fds)
        )
        return started[-1]

    try:
        yield start
        for gateway in started:
            gateway.stop()
    finally:
        for gateway in started:
            gateway.kill()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One gateway for the tests of a module, with a heartbeat a second."""
    running = GatewayProcess(
        "--heartbeat-interval",
        "1",
        state_dir=tmp_path_factory.mktemp("gateway") / "state",
        env=environment(CELL0_GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN),
    )
    try:
        yield running
        running.stop()
    finally:
        running.kill()


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[OpenTab]:
    """Opens a URL in Chromium."""
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("no Chromium is installed")
    tabs: list[Tab] = []

    def start(url: str) -> Tab:
        (folder := tmp_path / f"chromium-{len(tabs)}").mkdir()
        tabs.append(Tab(binary, folder, url))
        return tabs[-1]

    yield start
    for tab in tabs:
        tab.__exit__(None, None, None)
