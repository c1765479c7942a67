"""Run once by cloud-init: trades the node's token for its SSH host key, installs the agent, reports that it is ready.

Standard library only. What it needs to know stands in the JSON file that it is started with; none of it but the token
is secret, and the token is worth nothing once the node is ready.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

DONE = Path("/var/lib/ccx-agent/enrolled")
APT = Path("/etc/ccx/apt")
HOST_KEY = Path("/etc/ssh/ssh_host_ed25519_key")
T = TypeVar("T")
said: list[str] = []


def say(line: str) -> None:
    said.append(line)
    print(line, flush=True)


def write(path: Path, content: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "w") as file:
        file.write(content)
    os.replace(f"{path}.new", path)


def post(config: dict[str, Any], verb: str, **body: object) -> Any:
    context = ssl.create_default_context(cadata=config["ca"])
    request = urllib.request.Request(  # noqa: S310
        f"{config['control_url']}/api/node/v1/{verb}",
        data=json.dumps({"token": config["token"], **body}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310
        raw = answer.read()
    return json.loads(raw) if raw else None


def again(what: str, action: Callable[[], T], deadline: float) -> T:
    """Repeats the action with growing pauses until it succeeds; raises its last error at the deadline."""
    pause = 0.1
    while True:
        try:
            return action()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            detail = getattr(error, "stderr", None) or str(error)
            say(f"{what}: {str(detail).strip()[-300:]}")
            refused = isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404, 410, 422)
            if refused or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(pause * 1.7, 10)


def prepare_apt(config: dict[str, Any]) -> None:
    """One repository, ours, whose key and CA are pinned; nothing else is asked and nothing slow is done."""
    write(APT / "ca.crt", config["ca"])
    write(APT / "key.asc", config["apt_key"])
    write(APT / "ccx.list", f"deb [signed-by={APT}/key.asc] {config['control_url']}/apt/ ./\n")
    for folder in ("lists/partial", "archives/partial"):
        Path("/run/ccx/apt", folder).mkdir(parents=True, exist_ok=True)
    write(
        APT / "apt.conf",
        # The system's own settings come after these: they would start debconf and others' hooks.
        'Dir::Etc::Parts "-";\nDir::Etc::Main "-";\n'
        f'Dir::Etc::SourceList "{APT}/ccx.list";\nDir::Etc::SourceParts "-";\nDir::State::Lists "/run/ccx/apt/lists";\n'
        'Dir::Cache::Archives "/run/ccx/apt/archives";\nDir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
        f'Acquire::https::CAInfo "{APT}/ca.crt";\nAcquire::Languages "none";\nAcquire::Retries "0";\n'
        'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";\nAPT::Sandbox::User "root";\n'
        'APT::Install-Recommends "false";\nDPkg::Use-Pty "0";\n'
        'DPkg::Options { "--force-unsafe-io"; "--no-triggers"; };\n',
    )


def apt_get(*command: str) -> None:
    environment = {**os.environ, "APT_CONFIG": str(APT / "apt.conf"), "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(
        ["apt-get", "-q", "-o", "APT::Update::Error-Mode=any", *command],
        check=True, capture_output=True, text=True, env=environment, timeout=120,
    )  # fmt: skip


def update(config: dict[str, Any], deadline: float) -> None:
    """Fetches what our repository offers; its signature is checked by apt."""
    prepare_apt(config)
    again("update", lambda: apt_get("update"), deadline)


def install(version: str, deadline: float) -> None:
    """Installs the agent. A newer one may have taken its place in the repository since the list was fetched."""
    command = ("install", "-y", "--allow-downgrades", f"ccx-agent={version}")
    try:
        apt_get(*command)
    except subprocess.SubprocessError:
        again("update", lambda: apt_get("update"), deadline)
        again("install", lambda: apt_get(*command), deadline)


def restart_ssh() -> None:
    """It may have failed for want of a host key, so often that systemd refuses to start it for some seconds."""
    subprocess.run(["systemctl", "reset-failed", "ssh"], check=False, capture_output=True, timeout=30)
    subprocess.run(["systemctl", "restart", "ssh"], check=True, capture_output=True, text=True, timeout=30)


def main(path: str) -> int:
    if DONE.exists():
        return 0
    started = time.monotonic()
    config = json.loads(Path(path).read_text())
    deadline = started + config.get("patience", 900)

    def step(what: str) -> None:
        say(f"{time.monotonic() - started:6.2f} s  {what}")

    try:
        with ThreadPoolExecutor(1) as pool:
            # The list is fetched while the token is traded: neither needs the other.
            fetched = pool.submit(update, config, deadline)
            told = again("enrol", lambda: post(config, "enrol"), deadline)
            fetched.result()
        write(HOST_KEY, told["host_key"], 0o600)
        write(Path("/etc/ssh/ccx-agent.keys"), f"restrict {config['authorized_key'].strip()}\n")
        step("enrolled")
        install(told["agent_version"], deadline)
        step("agent installed")
        again("ssh", restart_ssh, deadline)
        step("ssh started")
        again("ready", lambda: post(config, "ready"), deadline)
        step("ready")
        write(DONE, "")
        Path(path).unlink()
    except Exception as error:
        say(f"gave up: {type(error).__name__}: {error}")
        post(config, "failed", error=f"{type(error).__name__}: {error}"[:500], log=said[-20:])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
