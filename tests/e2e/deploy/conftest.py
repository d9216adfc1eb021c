"""Proxies for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.certificate import make_certificate
from tests.e2e.deploy.proxies import SITE, SOFTWARE, Software, why_not


@pytest.fixture(params=SOFTWARE, ids=str)
def software(request: pytest.FixtureRequest) -> Software:
    """Each of the proxies that are installed."""
    chosen: Software = request.param
    if reason := why_not(chosen):
        pytest.skip(reason)
    return chosen


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of the name that the samples have, and its key, in one file."""
    return make_certificate(tmp_path_factory.mktemp("certificate"), SITE)
