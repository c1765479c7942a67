"""The agent as a program: what goes in, what comes out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agent.ccx_agent import main as program
from agent.ccx_agent.data import pick_empty
from agent.ccx_agent.errors import AgentError

AGENT = Path(__file__).parents[2] / "agent"


def run(verb: str, request: str | dict[str, Any], tmp_path: Path) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, the lines of output, and everything that the program wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "ccx_agent", verb],
        input=request if isinstance(request, str) else json.dumps(request),
        capture_output=True, text=True, timeout=30, check=False,
        env={
            "PYTHONPATH": str(AGENT), "PATH": os.environ["PATH"],
            "CCX_AGENT_STATE": str(tmp_path / "state"), "CCX_AGENT_ROOT": str(tmp_path),
        },
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stdout + done.stderr


def test_hello_tells_version_and_protocol_also_without_a_request(tmp_path: Path) -> None:
    code, lines, _ = run("hello", "", tmp_path)
    assert code == 0
    assert lines[-1]["result"]["protocol"] in lines[-1]["result"]["protocols"]
    assert lines[-1]["result"]["agent_version"]


@pytest.mark.parametrize(
    ("verb", "request_", "said"),
    [
        ("no-such-verb", {}, "no verb 'no-such-verb'"),
        ("hello", "nonsense", "no JSON"),
        ("hello", "[]", "no JSON object"),
        ("hello", {"args": []}, "no JSON object"),
        ("hello", {"protocol": 99}, "protocol 99"),
        ("write-files", {"args": {"files": []}}, "needs the job's token"),
        ("write-files", {"args": {"files": [1]}, "token": 1}, "files must be a list"),
        ("services", {"args": {"start": ["ssh.service"]}, "token": 1}, "ssh.service is not a unit"),
        ("services", {"args": {}, "token": 1}, "no unit is named"),
        ("reachable", {"args": {"targets": ["x"]}}, "list of [host, port]"),
        ("sequence", {"args": {"calls": []}}, "needs the job's token"),
        ("sequence", {"args": {"calls": [{"verb": "hello"}]}, "token": 1}, "list of objects with args"),
        ("sequence", {"args": {"calls": [{"verb": "no-such-verb", "args": {}}]}, "token": 1}, "no verb 'no-such-verb'"),
    ],
)
def test_a_bad_request_is_refused_with_a_reason(verb: str, request_: Any, said: str, tmp_path: Path) -> None:
    code, lines, _ = run(verb, request_, tmp_path)
    assert code == 1
    assert said in lines[-1]["error"]["err"]


def test_a_failure_inside_of_a_verb_repeats_no_argument(tmp_path: Path) -> None:
    request = {"token": 1, "args": {"files": [{"path": "/etc/ccx/a", "base64": "geheim!", "mode": "0600"}]}}
    code, lines, everything = run("write-files", request, tmp_path)
    assert code == 1
    assert "error" in lines[-1]
    assert "geheim" not in everything


def test_a_sequence_runs_its_verbs_in_order_up_to_the_first_that_fails(tmp_path: Path) -> None:
    def write(path: str) -> dict[str, Any]:
        return {"verb": "write-files", "args": {"files": [{"path": path, "content": "x"}]}}

    whole = {"token": 1, "args": {"calls": [write("/etc/ccx/a"), {"verb": "hello", "args": {}}]}}
    code, lines, _ = run("sequence", whole, tmp_path)
    assert code == 0, lines
    assert lines[-1]["result"]["results"][0] == {"changed": ["/etc/ccx/a"]}
    assert len(lines[-1]["result"]["results"]) == 2

    broken = {"token": 1, "args": {"calls": [write("/etc/ccx/b"), write("/etc/passwd"), write("/etc/ccx/c")]}}
    code, lines, _ = run("sequence", broken, tmp_path)
    assert code == 1
    assert "/etc/passwd" in lines[-1]["error"]["err"]
    assert sorted(path.name for path in (tmp_path / "etc/ccx").iterdir()) == ["a", "b"]


def test_a_verb_ends_when_its_caller_no_longer_waits(tmp_path: Path) -> None:
    code, lines, _ = run("etcd-ready", {"timeout": 0.3, "args": _etcd_args(tmp_path)}, tmp_path)
    assert code == 1
    assert lines[-1]["error"]["err"] == "not finished after 0.3 s"


def _etcd_args(folder: Path) -> dict[str, Any]:
    from ccx.pki import issue, new_ca

    ca = new_ca("test")
    pair = issue(ca, "node")
    for name, text in {"ca": ca.certificate, "crt": pair.certificate, "key": pair.key}.items():
        (folder / name).write_text(text)
    files = {"ca": "ca", "certificate": "crt", "key": "key"}
    return {**{k: str(folder / v) for k, v in files.items()}, "endpoints": ["https://127.0.0.1:1"], "limit": 60}


def test_only_a_connection_that_is_accepted_counts_as_reaching_a_machine(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        targets = [["127.0.0.1", server.getsockname()[1]], ["127.0.0.1", closed.getsockname()[1]], ["host.invalid", 1]]
        _, lines, _ = run("reachable", {"args": {"targets": targets, "limit": 0.5}}, tmp_path)
    assert [seen for _, _, seen in lines[-1]["result"]["reachable"]] == [True, False, False]


def test_every_verb_that_is_listed_exists_and_says_whether_it_changes_anything() -> None:
    assert {name: program.find(name).mutates for name in program.MODULES}["postgres-user-put"] is True
    looking = {name for name in program.MODULES if not program.find(name).mutates}
    assert looking == {
        "hello", "services-state", "reachable", "egress-observed", "node-status", "task-check", "etcd-ready",
        "etcd-status", "log-position", "postgres-wait", "postgres-users", "postgres-databases", "probe",
        "archive-state", "backup-marked", "backup-state", "backup-verify-state", "backups", "postgres-recount",
        "mariadb-databases", "mariadb-users", "restore-state",
        "mariadb-archive-marked", "mariadb-archive-state", "mariadb-backup-state", "mariadb-backups", "mariadb-count",
        "mariadb-log-position", "mariadb-log-transaction", "mariadb-recount", "mariadb-restore-state", "mariadb-verify",
        "mariadb-verify-state", "percona-count", "percona-databases", "percona-recount", "percona-users",
        "percona-verify",
    }  # fmt: skip


def _disk(path: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "type": "disk", "fstype": None, "ro": False, **more}


def test_the_data_volume_is_the_one_empty_disk() -> None:
    used = [_disk("/dev/vda", children=[{}]), _disk("/dev/vdb", fstype="ext4"), _disk("/dev/vdc", ro=True)]
    assert pick_empty([*used, _disk("/dev/vdd"), _disk("/dev/sr0", type="rom")]) == "/dev/vdd"
    with pytest.raises(AgentError, match="empty ones are none"):
        pick_empty(used)
    with pytest.raises(AgentError, match="/dev/vdd, /dev/vde"):
        pick_empty([_disk("/dev/vdd"), _disk("/dev/vde")])


def test_probe_answers_a_line_for_each_request_as_it_comes_and_all_at_the_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as open_port, socket.create_server(("127.0.0.1", 0)) as closed:
        port, refused = open_port.getsockname()[1], closed.getsockname()[1]
        closed.close()
        asked = [
            {"key": "a", "host": "127.0.0.1", "port": port, "speaks": "tcp"},
            {"key": "b", "host": "127.0.0.1", "port": refused, "speaks": "tcp"},
        ]
        code, lines, _ = run("probe", {"args": {"requests": asked, "limit": 2}}, tmp_path)
    assert code == 0
    *came, last = lines
    assert sorted(line["answer"]["key"] for line in came) == ["a", "b"]
    assert [(a["key"], a["ok"], a["code"]) for a in last["result"]["answers"]] == [
        ("a", True, ""),
        ("b", False, "refused"),
    ]


@pytest.mark.parametrize(
    "args",
    [
        {"requests": [{}]},
        {"requests": "all"},
        {"requests": [], "limit": 60},
        {"requests": [], "proxy": "socks5://u:hunter2@p:1"},
    ],
)
def test_probe_refuses_what_it_can_not_do_and_quotes_no_proxy(args: dict[str, Any], tmp_path: Path) -> None:
    code, lines, written = run("probe", {"args": args}, tmp_path)
    assert code == 1
    assert lines[-1]["error"]["err"].startswith(("argument", "the requests or the proxy"))
    assert "hunter2" not in written
