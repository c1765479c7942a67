"""The guard explains who connects where. In processes of their own: an audit hook can't be removed."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import Any

PRELUDE = """
import asyncio, json, logging, socket, sys
from ccx.network import UndeclaredConnection
from ccx.network.guard import Mode, guard
from ccx.settings import Paths, Settings
settings = Settings(paths=Paths.of("t"), node_network="127.5.0.0/16", nats_url="nats://nats.test:4222",
                    dsn="postgresql://u@192.0.2.9:5432/x", resolver_address="192.0.2.53", control_address="192.0.2.2")
def attempt(host, port, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.setblocking(False)
        try:
            s.connect((host, port))
        except UndeclaredConnection as refused:
            return str(refused)
        except OSError:
            pass
    return "passed"
"""


def run(script: str) -> tuple[Any, str]:
    """What the script prints as JSON, and what it logged. No packet leaves: the namespace has no way out."""
    done = subprocess.run(
        ["unshare", "--net", "--map-root-user", sys.executable, "-c", PRELUDE + textwrap.dedent(script)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_enforcing_refuses_with_the_nearest_declaration_and_lets_the_declared_pass():
    found, _ = run("""
        guard.on(Mode.ENFORCE, settings)
        print(json.dumps([
            attempt("192.0.2.9", 5432), attempt("192.0.2.53", 53, socket.SOCK_DGRAM), attempt("127.0.0.1", 1),
            attempt("192.0.2.9", 5433), attempt("198.51.100.7", 443)]))
        """)
    *passed, other_port, stranger = found
    assert passed == ["passed"] * 3
    assert "192.0.2.9:5433" in other_port
    assert "db.postgresql (ccx.db.endpoints)" in other_port
    assert "198.51.100.7:443, which no declaration holds" in stranger


def test_auditing_lets_pass_counts_each_and_logs_once():
    found, logged = run("""
        logging.basicConfig()
        guard.on(Mode.AUDIT, settings)
        results = [attempt("198.51.100.7", 443) for _ in range(3)]
        print(json.dumps([results, list(map(list, guard.undeclared.items()))]))
        """)
    results, undeclared = found
    assert results == ["passed"] * 3
    assert undeclared == [[["__main__", "198.51.100.7:443"], 3]]
    assert logged.count("198.51.100.7:443") == 1


def test_off_sees_nothing_and_puts_the_look_up_back():
    found, _ = run("""
        original = socket.getaddrinfo
        guard.on(Mode.ENFORCE, settings)
        guard.off()
        print(json.dumps([attempt("198.51.100.7", 443), len(guard.undeclared), socket.getaddrinfo is original]))
        """)
    assert found == ["passed", 0, True]


def test_a_declared_name_is_known_by_the_address_it_was_looked_up_as():
    found, _ = run("""
        def look_up(host, port, *args, **options):
            address = {"nats.test": "198.51.100.1", "evil.test": "198.51.100.2"}[host]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
        socket.getaddrinfo = look_up
        guard.on(Mode.ENFORCE, settings)
        async def dial(host, port):
            try:
                async with asyncio.timeout(2):
                    await asyncio.open_connection(host, port)
            except UndeclaredConnection as refused:
                return str(refused)
            except OSError:
                return "passed"
        print(json.dumps([asyncio.run(dial("nats.test", 4222)), asyncio.run(dial("evil.test", 4222))]))
        """)
    assert found[0] == "passed"
    assert "evil.test:4222" in found[1]


def test_members_of_groups_pass_on_their_port_only():
    found, _ = run("""
        guard.on(Mode.ENFORCE, settings.model_copy(update={"node_network": "198.51.100.0/24"}))
        print(json.dumps([attempt("198.51.100.7", 22), attempt("198.51.100.7", 23), attempt("203.0.113.7", 22)]))
        """)
    assert found[0] == "passed"
    assert "198.51.100.7:23" in found[1]
    assert "cmon.ssh" in found[1] or "declaration" in found[1]
    assert "203.0.113.7:22" in found[2]


def test_what_is_no_connection_costs_no_more_than_an_empty_hook() -> None:
    cost = """
        import timeit
        print(json.dumps(min(timeit.repeat("audit('other', 1)", globals={"audit": sys.audit}, number=5000, repeat=15))))
        """
    empty, _ = run("sys.addaudithook(lambda event, args: None)\n" + textwrap.dedent(cost))
    guarded, _ = run("guard.on(Mode.ENFORCE, settings)\n" + textwrap.dedent(cost))

    assert guarded < 3 * empty
