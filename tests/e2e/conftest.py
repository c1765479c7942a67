"""A running installation for end-to-end tests: an instance and a subnet of its own, removed with all it made."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
from tests.e2e.machine import Installed, free_port
from tests.e2e.observed import nothing_undeclared
from tests.e2e.tenant import LocalSide, Tenant, signed_up

# ``script/test`` removes by it what a broken-off run left.
_PREFIX = os.environ.get("CCX_TEST_PREFIX", f"t{os.getpid()}")
_numbers = count(1)


@pytest.fixture(scope="session", autouse=True)
def _root_only() -> None:
    if os.getuid() != 0:
        pytest.skip("end-to-end tests make namespaces and must run as root")


@pytest.fixture(scope="module")
async def new_installation() -> AsyncIterator[Installed]:
    """A name and a port for an installation that the tests start themselves; removed at the end."""
    installed = Installed(f"{_PREFIX}-{next(_numbers)}", f"127.0.0.1:{free_port()}")
    try:
        yield installed
    finally:
        await installed.down("--purge")


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> AsyncIterator[Installed]:
    """A running control plane with the local cloud. Lost nodes are replaced after five seconds.

    Its own processes, too, refuse what is not declared: on other installations they only say so.
    Whatever was done with it, control plane and nodes connected to nothing but what the network contract declares.
    """
    await new_installation.up("--set", "auto_repair.delay=5", "--set", "guard=enforce")
    yield new_installation
    await nothing_undeclared(new_installation)


@pytest.fixture(scope="module")
async def tenant(installation: Installed) -> AsyncIterator[Tenant]:
    """A user of the running control plane."""
    async with signed_up(installation) as user:
        yield user


@pytest.fixture(scope="module")
async def local(installation: Installed) -> AsyncIterator[LocalSide]:
    """The running control plane's cloud and DNS, seen from this machine."""
    side = LocalSide(installation)
    try:
        yield side
    finally:
        await side.cloud.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For what a module's tests share, such as CA files."""
    return tmp_path_factory.mktemp("shared")
