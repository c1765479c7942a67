"""Only the modules listed here open sockets themselves; everybody else gets a client from a declaration."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import ccx
import ccx_probe
from ccx.cmon.sources import node_side

ROOT = Path(ccx.__file__).parent
PROBE = Path(ccx_probe.__file__).parent
OPENS = (
    "httpx.Client", "httpx.AsyncClient", "httpx.get", "httpx.post", "httpx.put", "httpx.delete", "httpx.request",
    "httpx.stream", "httpx.AsyncHTTPTransport", "httpx.HTTPTransport", "socket.socket", "socket.create_connection",
    "asyncio.open_connection", "asyncio.open_unix_connection", "loop.create_connection", "asyncssh.connect",
    "nats.connect", "psycopg.connect", "psycopg.AsyncConnection.connect", "AsyncConnection.connect", "pymysql.connect",
    "loop.sock_connect", "urllib.request.urlopen", "urlopen", "http.client.HTTPConnection",
    "http.client.HTTPSConnection",
)  # fmt: skip
MAY = {
    "network/http.py": "the declarations' HTTP clients",
    "network/dial.py": "the declarations' sockets",
    "network/endpoint.py": "streams over a declaration's socket",
    "cmon/ssh_channel.py": "asyncssh, on a destination that cmon.ssh checked",
    "embedded/assemble.py": "nats-py, on a URL that state.nats checked",
    "cli/client.py": "the ccx command, on a user's machine: reaches the API that its context names",
    "cli/trust.py": "the same, for the API's CA",
    "demo/mariadb.py": "connects as an application of a user's would",
    "demo/postgresql.py": "the same",
    "demo/acts/opening.py": "finds a port that is free on this machine; sends nothing",
    "embedded/cloud.py": "a unix socket (cloud.local.daemon)",
    "embedded/files.py": "finds this machine's own address; sends nothing",
    "embedded/host_names.py": "asks its own DNS server on this machine whether it listens",
    "embedded/namespace.py": "listens, and probes its own listeners and what the plan has outside",
    "embedded/object_store.py": "asks its own store on this machine whether it answers",
    "embedded/packages.py": "asks its own package mirror on this machine whether it answers",
    "embedded/sockets.py": "listens",
    "clouds/local/image.py": "the install plane (cloud.local.image), before an instance has settings",
    "clouds/local/driver.py": "a unix socket (cloud.local.daemon)",
    "clouds/local/daemon.py": "listens",
    "dns/dnsmasq.py": "a unix socket (cloud.local.daemon)",
    "clouds/simulated/driver.py": "a unix socket (cloud.simulated.server)",
    "clouds/simulated/control.py": "a unix socket (cloud.simulated.server)",
    "cmon/simulated_channel.py": "a unix socket (cloud.simulated.server)",
    "jobs/connections.py": "PostgreSQL, on a URL that db.postgresql checked",
}


# The probe tries what the contract declares, from wherever it is run; nothing of the product calls out through it.
PROBE_MAY = {"connect.py": "its connections"}


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def opens(source: str) -> set[str]:
    """The calls in a module's text that open a socket."""
    calls = {_dotted(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)}
    return {call for call in calls if call.endswith(OPENS) and any(call == o or call.endswith(f".{o}") for o in OPENS)}


def test_no_other_module_opens_a_socket_itself():
    found = {
        str(path.relative_to(ROOT)): calls
        for path in ROOT.rglob("*.py")
        if "_agent" not in path.parts and (calls := opens(path.read_text()))
    }
    strangers = {module: sorted(calls) for module, calls in found.items() if module not in MAY}
    assert strangers == {}, "get a client from a declaration (docs/develop/declare-an-endpoint.md)"


def test_of_the_probe_one_module_opens_sockets():
    found = {path.name for path in PROBE.glob("*.py") if opens(path.read_text())}
    assert found == set(PROBE_MAY)


def test_what_nodes_run_needs_nothing_but_the_standard_library():
    """And so nothing of ours either, but the agent's own package and the probe."""
    agent = node_side() / "ccx_agent"
    for path in [*PROBE.glob("*.py"), *agent.glob("*.py"), node_side() / "ccx_enrol.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            strange = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"ccx_agent", "ccx_probe"}
            assert not strange, f"{path.name} imports {strange}"


def test_the_lint_sees_what_it_looks_for():
    assert opens("import httpx\nhttpx.AsyncClient()") == {"httpx.AsyncClient"}
    assert opens("async def f(loop):\n    await loop.create_connection(x)") == {"loop.create_connection"}
    assert opens("import httpx\nhttpx.Limits()") == set()
