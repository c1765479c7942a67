"""``ccx up`` starts, supervises and stops a control plane for real."""

from __future__ import annotations

import asyncio
import base64
import os
import pwd
import signal
import socket
import subprocess
from pathlib import Path

import yaml
from tests.e2e.machine import CCX, Installed, eventually, free_port, run, traces

from ccx.embedded import processes
from ccx.secrets import KeyRing, import_recovery

PARTS = ("postgresql", "nats", "serve")


async def test_it_comes_up_healthy_behind_its_own_certificate_and_says_where(new_installation: Installed) -> None:
    said = await new_installation.up()

    assert new_installation.url in said
    assert await new_installation.healthy()
    status = await run(CCX, "status", "--instance", new_installation.instance)
    assert all(part in status.stdout for part in PARTS)


async def test_a_second_start_says_that_it_is_running(new_installation: Installed) -> None:
    second = await run(CCX, "up", "--instance", new_installation.instance, check=False)

    assert second.returncode == 5
    assert "is running already" in second.stderr
    assert await new_installation.healthy()


async def test_all_parts_run_as_ccx_in_the_instances_namespace(new_installation: Installed) -> None:
    ccx = pwd.getpwnam("ccx").pw_uid
    inside = processes.inside_network(new_installation.layout.namespace_file)

    assert {new_installation.pid(part) for part in PARTS} <= set(inside)
    for pid in inside:
        assert os.stat(f"/proc/{pid}").st_uid == ccx, Path(f"/proc/{pid}/cmdline").read_text()
        status = Path(f"/proc/{pid}/status").read_text()
        assert "CapEff:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status


async def test_a_part_sees_only_its_own_instances_files(new_installation: Installed) -> None:
    root = Path(f"/proc/{new_installation.pid('serve')}/root")

    for folder in ("/etc/ccx", "/var/lib/ccx", "/run/ccx"):
        assert os.listdir(f"{root}{folder}") == [new_installation.instance]


async def test_secrets_stand_in_no_argument_and_no_environment(new_installation: Installed) -> None:
    etc = new_installation.layout.etc
    secrets = [(etc / "nats.credentials").read_text().split()[1]]
    secrets += [line for file in ("ssh.key", "tls.key") for line in (etc / file).read_text().splitlines()[1:-1]]

    for pid in [*processes.inside_network(new_installation.layout.namespace_file), new_installation.record().pid]:
        shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert not [secret for secret in secrets if secret.encode() in shown]
    for file in ("wrapping.key", "recovery.key", "nats.credentials", "ssh.key", "tls.key", "ca.key"):
        assert (etc / file).stat().st_mode & 0o077 == 0, file


async def test_the_kernel_refuses_what_the_plan_does_not_declare(new_installation: Installed) -> None:
    host = new_installation.layout.subnet[3]
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        tried = await new_installation.inside(
            "bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}", check=False
        )  # to this machine itself, which listens there

    assert tried.returncode != 0
    counters = await new_installation.inside("nft", "list", "counters")
    refused = next(line for line in counters.stdout.splitlines() if "packets" in line)
    assert int(refused.split()[1]) > 0, counters.stdout


async def test_a_killed_service_is_started_again_while_its_clients_wait(new_installation: Installed) -> None:
    before = new_installation.pid("serve")
    assert before is not None

    os.kill(before, signal.SIGKILL)

    await eventually(lambda: new_installation.pid("serve") not in (None, before), within=30, what="a new process")
    await eventually(new_installation.healthy, within=30)
    assert new_installation.record().parts["serve"].restarts == 1


async def test_a_killed_database_is_started_again(new_installation: Installed) -> None:
    before = new_installation.pid("postgresql")
    assert before is not None

    os.kill(before, signal.SIGKILL)

    await eventually(lambda: new_installation.pid("postgresql") not in (None, before), within=60, what="a new process")
    await eventually(new_installation.healthy, within=30)


async def test_a_killed_supervisor_leaves_no_part_running_and_the_next_start_recovers(
    new_installation: Installed,
) -> None:
    layout = new_installation.layout
    key = (layout.etc / "wrapping.key").read_bytes()

    os.kill(new_installation.record().pid, signal.SIGKILL)

    await eventually(lambda: not processes.inside_network(layout.namespace_file), within=30, what="no part is left")
    await new_installation.up()
    assert await new_installation.healthy()
    assert (layout.etc / "wrapping.key").read_bytes() == key


async def test_a_start_right_after_the_supervisor_was_killed_waits_for_what_it_left(
    new_installation: Installed,
) -> None:
    os.kill(new_installation.record().pid, signal.SIGKILL)

    await new_installation.up()

    assert await new_installation.healthy()


async def test_in_the_foreground_it_changes_what_it_is_told_to_and_stops_in_order(
    new_installation: Installed, tmp_path: Path
) -> None:
    layout = new_installation.layout
    passphrase, copy = tmp_path / "passphrase", tmp_path / "recovery"
    passphrase.write_text("correct horse battery staple\n")
    resolv_conf = Path("/etc/resolv.conf").read_text()
    await new_installation.down()

    foreground = await asyncio.create_subprocess_exec(
        CCX, "up", "--instance", layout.instance, "--set", "auto_repair.delay=77", "--resolve",
        "--recovery-file", copy, "--passphrase-file", passphrase, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await eventually(new_installation.healthy, within=120)
        await eventually(lambda: new_installation.record().ready, within=30)

        settings = yaml.safe_load((layout.etc / "ccx.yaml").read_text())
        assert settings["auto_repair"]["delay"] == 77
        recovered = import_recovery(copy.read_text(), "correct horse battery staple")
        recovery_key, wrapping = recovered.parted(0)
        assert wrapping.to_lines() == KeyRing.load(layout.etc / "wrapping.key").to_lines()
        assert base64.b64encode(recovery_key or b"").decode() == (layout.etc / "recovery.key").read_text().strip()
        assert copy.stat().st_mode & 0o077 == 0
        if not Path("/run/systemd/resolve").exists():
            assert Path("/etc/resolv.conf").read_text().startswith(f"nameserver {layout.subnet[3]} ")
    finally:
        foreground.send_signal(signal.SIGINT)
        code = await foreground.wait()

    assert code == 0
    assert processes.inside_network(layout.namespace_file) == []
    assert Path("/etc/resolv.conf").read_text() == resolv_conf


async def test_what_is_in_the_way_is_said_in_one_line_before_anything_is_changed(new_installation: Installed) -> None:
    other = f"{new_installation.instance}x"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        in_use = await run(CCX, "up", "--instance", other, "--listen", f"127.0.0.1:{port}", check=False)
    subnet = str(new_installation.layout.subnet)
    collides = await run(
        CCX, "up", "--instance", other, "--listen", f"127.0.0.1:{free_port()}", "--subnet", subnet, check=False
    )

    assert "in use" in in_use.stderr
    assert "overlaps" in collides.stderr
    for refused in (in_use, collides):
        assert refused.returncode != 0
        assert len(refused.stderr.strip().splitlines()) == 1
    assert not Path(f"/etc/ccx/{other}").exists()
    assert not Path(f"/var/lib/ccx/{other}").exists()


async def test_down_stops_it_and_purge_leaves_nothing_of_it(new_installation: Installed) -> None:
    layout = new_installation.layout
    await new_installation.up("--no-resolve")
    supervisor = new_installation.record().supervisor
    await new_installation.down()

    assert not supervisor.alive
    assert processes.inside_network(layout.namespace_file) == []
    assert not await new_installation.healthy()

    await new_installation.down("--purge")

    left = await traces(new_installation.instance)
    assert left == type(left)(*[frozenset()] * 5)
