"""The ``ccx`` command as a process of its own, against the real API behind HTTPS."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

# The API's own world: the real database, the simulated cloud, a runner, and nodes that phone home.
from tests.integration.rest.conftest import (  # noqa: F401
    PASSWORD,
    app,
    cloud_control,
    cloud_socket,
    http,
    running,
    services,
)

from ccx.ids import new_short_id
from ccx.pki import issue, new_ca


@dataclass(frozen=True)
class Ended:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass(frozen=True)
class Person:
    """Somebody with a home folder, who types commands."""

    home: Path
    login: str

    async def ccx(self, *arguments: str, **environ: str) -> Ended:
        command = [sys.executable, "-c", "import sys; from ccx.cli import main; sys.exit(main())", *arguments]
        unwanted = ("CCX_", "PG", "PYTHONDONTWRITEBYTECODE")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        # A test run may forbid bytecode; compiling everything anew for each command would take most of its time.
        clean.setdefault("PYTHONPYCACHEPREFIX", str(self.home.parent / "bytecode"))
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**clean, "HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config"), **environ},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    async def log_in(self, served: Served, *more: str) -> Ended:
        password = self.home / "password"
        password.write_text(PASSWORD)
        who = ["--login", self.login, "--password-file", str(password)]
        return await self.ccx("login", "--url", served.url, "--ca-file", str(served.ca_file), *who, *more)


@dataclass(frozen=True)
class Served:
    """The control plane's address, and its CA."""

    url: str
    ca_file: Path


@pytest.fixture(scope="module")
async def served(app: FastAPI, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:  # noqa: F811
    """The API behind HTTPS on the loopback."""
    folder = tmp_path_factory.mktemp("tls")
    ca = new_ca("CCX installation test")
    leaf = issue(ca, "ccx", addresses=["127.0.0.1"], client=False)
    (folder / "tls.key").write_text(leaf.key)
    (folder / "tls.crt").write_text(leaf.certificate + ca.certificate)
    (folder / "ca.crt").write_text(ca.certificate)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, ssl_keyfile=str(folder / "tls.key"), ssl_certfile=str(folder / "tls.crt"),
        lifespan="off", log_config=None,
    )  # fmt: skip
    server = uvicorn.Server(config)
    listening = config.bind_socket()
    task = asyncio.create_task(server.serve(sockets=[listening]))
    yield Served(f"https://127.0.0.1:{listening.getsockname()[1]}", folder / "ca.crt")
    server.should_exit = True
    await task


async def new_person(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Person:
    """Somebody who just signed up."""
    person = Person(tmp_path_factory.mktemp("home"), f"{new_short_id()}@example.net")
    ended = await person.log_in(served, "--sign-up")
    assert ended.code == 0, ended.err
    return person


@pytest.fixture(scope="module")
async def ada(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Person:
    return await new_person(served, tmp_path_factory)


@pytest.fixture(scope="module")
async def bob(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Person:
    return await new_person(served, tmp_path_factory)
