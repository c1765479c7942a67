"""A real MariaDB or MySQL for tests: the programs of a node's image in a folder of their own, without its rest."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import pymysql
from agent.ccx_agent.backed import Log
from agent.ccx_agent.binlog import Transaction
from agent.ccx_agent.mariadb_log import MariaDbLog
from agent.ccx_agent.mysql_gtid import GtidSet
from agent.ccx_agent.mysql_log import MySqlLog
from tests.seaweedfs import SeaweedFs
from tests.unit.cluster_specs import cluster

from ccx.clouds.local.image import ensure_image
from ccx.cmon.backup import Repository
from ccx.cmon.backup.mariadb_backup import LIMITLESS
from ccx.cmon.backup.rclone import configuration
from ccx.cmon.engines.mysql_family import config as family
from ccx.cmon.engines.mysql_family.layout import LOG_KEPT
from ccx.cmon.engines.mysql_family.percona import config
from ccx.errors import CcxError

AGENT = Path(__file__).resolve().parents[1] / "agent" / "ccx_agent"
PASSWORD = "writer-pass-word"
_READY_WITHIN_S = 60


class CanNotBeHad(Exception):
    """There is no MariaDB to run here, and why."""


@dataclass
class Rig:
    """``name``: of the folder ``/srv/<name>`` in ``root`` that holds data, log and socket of one server."""

    root: Path
    name: str
    archive: str = "abc"

    image: ClassVar[str] = "baked-mariadb"
    program: ClassVar[str] = "/usr/sbin/mariadbd"
    client: ClassVar[tuple[str, ...]] = ("mariadb", "--no-defaults", "--skip-ssl-verify-server-cert", "--user=mysql")
    data: ClassVar[str] = "data.xbstream.zst"
    """What the copy is called in the store."""
    increments: ClassVar[bool] = True
    semi_sync: ClassVar[str] = "rpl_semi_sync_master"
    """What the variables of who waits for replicas begin with."""

    @property
    def home(self) -> Path:
        return self.root / "srv" / self.name

    def told(self, **more: Any) -> dict[str, Any]:
        """The agent's programs' configuration."""
        home = f"/srv/{self.name}"
        return {
            "archive": self.archive, "label": "n1g1", "rclone": "/srv/rclone.conf", "ca": "/srv/ca.crt",
            "server": f"{home}/my.cnf", "socket": f"{home}/run/s", "data": f"{home}/data", "binlogs": f"{home}/binlog",
            "work": f"{home}/work", "run": f"{home}/run", "mariadbd": self.program,
            "replication_user": "ccx_replication", "keeper": None, "retries": 4, **more,
        }  # fmt: skip

    def store_keys(self, store: SeaweedFs) -> None:
        """How the programs reach the object store."""
        repository = Repository(store.location, store.ca.read_text(), "ds/abc/", store.keys, "cipher-of-abc")
        self._give("rclone.conf", configuration(repository), 0o600)
        self._give("ca.crt", store.ca.read_text())

    def lay_out(self, **settings: str) -> None:
        for folder in ("run", "binlog", "work"):
            (self.home / folder).mkdir(parents=True)
        home = f"/srv/{self.name}"
        told = {
            "datadir": f"{home}/data", "socket": f"{home}/run/s", "pid_file": f"{home}/run/pid",
            "log_bin": f"{home}/binlog/binlog", "server_id": "10001", "binlog_format": "ROW", "gtid_strict_mode": "ON",
            "log_slave_updates": "ON", "innodb_buffer_pool_size": "64M", "innodb_log_file_size": "48M",
            "skip_networking": "ON", "skip_name_resolve": "ON", "character_set_server": "utf8mb4",
            "default_time_zone": "+00:00", "event_scheduler": "OFF", "binlog_expire_logs_seconds": "259200",
            "slave_connections_needed_for_purge": "0", **settings,
        }  # fmt: skip
        kept = self.root / LOG_KEPT.relative_to("/")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(LIMITLESS)
        self._give(f"{self.name}/my.cnf", family.section("mariadbd", told) + family.INCLUDED)
        self.run("chown", "-R", "mysql:mysql", home, user="root")

    @classmethod
    @contextmanager
    def new(cls, root: Path, name: str, archive: str = "abc", store: SeaweedFs | None = None) -> Iterator[Self]:
        """A new server that runs, until the end."""
        one = cls(root, name, archive)
        one.home.mkdir(parents=True)
        if store is not None:
            one.store_keys(store)
        one.lay_out()
        one.initialise()
        with one.running():
            yield one

    def restored(self, name: str, **how: Any) -> Self:
        """Another server, whose data are restored as ``how`` says from the archive of this one."""
        one = type(self)(self.root, name, self.archive)
        one.home.mkdir()
        one.lay_out(server_id="20001")
        one.restore(**how)
        return one

    @contextmanager
    def copy(self, name: str, **how: Any) -> Iterator[Self]:
        """The same, and it runs meanwhile."""
        one = self.restored(name, **how)
        with one.running():
            yield one

    def initialise(self) -> None:
        self.run(
            "mariadb-install-db", "--no-defaults", f"--datadir=/srv/{self.name}/data", "--skip-test-db",
            "--auth-root-authentication-method=socket", "--auth-root-socket-user=mysql", "--skip-log-bin",
        )  # fmt: skip

    def start(self) -> subprocess.Popen[bytes]:
        """The server; ready."""
        with (self.home / "server.log").open("ab") as log:
            process = subprocess.Popen(
                self.command(self.program, f"--defaults-file=/srv/{self.name}/my.cnf"), stdout=log, stderr=log
            )
        deadline = time.monotonic() + _READY_WITHIN_S
        while True:
            try:
                self.sql("select 1")
                return process
            except subprocess.CalledProcessError:
                assert process.poll() is None, (self.home / "server.log").read_text()[-2000:]
                assert time.monotonic() < deadline
                time.sleep(0.1)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Its server runs meanwhile."""
        with ended(self.start()):
            yield

    def kill(self) -> None:
        """Its server ends in the middle of whatever it did."""
        os.kill(int((self.home / "run" / "pid").read_text()), signal.SIGKILL)

    @contextmanager
    def shipping(self) -> Iterator[subprocess.Popen[bytes]]:
        """The program that sends the log to the store runs meanwhile."""
        self._give(f"{self.name}/ship.json", json.dumps(self.told()))
        with (self.home / "ship.log").open("ab") as log:
            process = subprocess.Popen(self.agent("mariadb_ship.py", f"/srv/{self.name}/ship.json"), stderr=log)
        with ended(process):
            yield process

    def back_up(self, name: str, kind: str) -> dict[str, Any]:
        self._give(f"{self.name}/backup.json", json.dumps(self.told()))
        self.run(*self.agent("mariadb_copy.py", f"/srv/{self.name}/backup.json", name, kind)[3:])
        made: dict[str, Any] = json.loads((self.home / "work" / f"made-{name}").read_text())
        return made

    def restore(self, **how: Any) -> str:
        """Makes its data; what it said."""
        self._give(f"{self.name}/restore.json", json.dumps(self.told(logs=[self.archive], **how)))
        words = self.agent("mariadb_restore.py", f"/srv/{self.name}/restore.json", f"/srv/{self.name}/data")[3:]
        return self.run(*words)

    def verify(self, name: str, *backup: str) -> dict[str, Any]:
        """What reading the store through found."""
        self._give(f"{self.name}/backup.json", json.dumps(self.told()))
        self.run(*self.agent("mariadb_verify.py", f"/srv/{self.name}/backup.json", name, *backup)[3:])
        found: dict[str, Any] = json.loads((self.home / "work" / f"verified-{name}").read_text())
        return found

    def expire(self, *remove: str) -> None:
        """Removes these backups, as the agent's verb does."""
        self._verb("expire", {"remove": remove})

    def _verb(self, function: str, args: dict[str, Any]) -> dict[str, Any]:
        (self.root / "etc/ccx/mariadb-backup").mkdir(parents=True, exist_ok=True)
        (self.root / "etc/ccx/mariadb-backup/backup.json").write_text(json.dumps(self.told()))
        call = (
            "import json, sys; sys.path.insert(0, '/usr/lib/ccx-agent');"
            " from pathlib import Path; from ccx_agent import mariadb_backup as verbs;"
            " verbs.WORK = Path(sys.argv[3]);"
            " print(json.dumps(getattr(verbs, sys.argv[1])(json.loads(sys.argv[2]), lambda line: None)))"
        )
        words = (function, json.dumps(args), f"/srv/{self.name}/work")
        found: dict[str, Any] = json.loads(self.run("python3", "-I", "-c", call, *words, user="root"))
        return found

    def archive_up_to(self, position: str, within: float = 30) -> None:
        """Returns when everything up to that transaction is in the store."""
        number = self.number(position)
        (self.home / "work" / "wanted").write_text(str(number))
        deadline = time.monotonic() + within
        while self.shipped().get("stored", 0) < number:
            assert time.monotonic() < deadline, (self.home / "ship.log").read_text()[-2000:]
            time.sleep(0.1)

    def led(self, term: int, behind: int, before: str) -> None:
        """As its shipper notes, whose server has ended: in that term, and what was before its log."""
        shown = {"ships": True, "term": term, "behind": behind, "before": before}
        (self.home / "work" / "shipped").write_text(json.dumps(shown))

    def ship_rest(self) -> dict[str, Any]:
        """Stores what the store lacks of a server that has ended, as the agent's verb does."""
        return self._verb("ship_rest", {})

    def transaction(self, number: int) -> str:
        """What the log's transaction of that number is called, by the agent's verb."""
        found: str = self._verb("transaction", {"number": number})["gtid"]
        return found

    def shipped(self) -> dict[str, Any]:
        noted = self.home / "work" / "shipped"
        found: dict[str, Any] = json.loads(noted.read_text()) if noted.exists() else {}
        return found

    def sql(self, statement: str) -> str:
        return self.run(*self.asking(statement)).strip()

    def asking(self, statement: str) -> tuple[str, ...]:
        return (*self.client, f"--socket=/srv/{self.name}/run/s", "-N", "-B", "-e", statement)

    def position(self) -> str:
        """Up to where its history goes."""
        return self.sql("select @@gtid_binlog_pos")

    def number(self, position: str) -> int:
        """Of the last transaction in it."""
        return int(position.rsplit("-", 1)[1])

    def last(self, position: str) -> str:
        """The last transaction in it, by its name; one server wrote all of them."""
        return position

    def restored_to(self) -> str:
        """Up to where the history goes of a server that was just restored."""
        return self.sql("select @@gtid_slave_pos")

    def numbers(self, last: int) -> str:
        """Statement that makes rows of ``n`` from one on."""
        return f"select seq as n from seq_1_to_{last}"

    def copied_up_to(self, last: int) -> None:
        """As a replica that was made of a copy: it is told where it is."""
        self.sql(f"set global gtid_slave_pos = '0-10001-{last}'")
        self.sql(f"set session gtid_seq_no = {last + 1}; create database shop")

    def forget_log(self) -> None:
        """As if its data were a copy, made now: its log begins behind them."""
        there = self.position()
        self.sql(f"reset master; set global gtid_binlog_state = '{there}'")

    def never(self, gtid: str) -> dict[str, tuple[str, str]]:
        """Transactions that never were, and that are not there yet, and what is said of each."""
        domain, _, number = gtid.split("-")
        return {
            "never": (f"{domain}-77-{number}", f"that number is {gtid}"),
            "not-yet": (f"{domain}-10001-{int(number) + 1000}", "the log ends at"),
        }

    def heads(self) -> list[int | None]:
        """Behind which transaction each file of its log begins."""
        return [self.log().head(file) for file in self.logs()]

    def ends(self) -> list[int]:
        """With which transaction each ends, by what is in it."""
        return [self.log().ends_with(file) for file in self.logs()]

    def transactions(self, file: Path) -> list[Transaction]:
        """Those of that file of its log."""
        return list(self.log().transactions(file, 0))

    def log(self) -> Log:
        return MariaDbLog()

    def logs(self) -> list[Path]:
        return sorted((self.home / "binlog").glob("binlog.*[0-9]"))

    def connect(self, database: str | None = None) -> pymysql.Connection[Any]:
        """As a tenant."""
        return pymysql.connect(
            unix_socket=str(self.home / "run" / "s"), user="writer", password=PASSWORD, database=database,
            autocommit=True,
        )  # fmt: skip

    def agent(self, program: str, *words: str) -> list[str]:
        return self.command("python3", "-I", f"/usr/lib/ccx-agent/ccx_agent/{program}", *words)

    def command(self, *words: str, user: str = "mysql") -> list[str]:
        return ["chroot", f"--userspec={user}:{user}", str(self.root), *words]

    def run(self, *words: str, user: str = "mysql") -> str:
        done = subprocess.run(self.command(*words, user=user), capture_output=True, text=True, check=False)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)
        return done.stdout

    def _give(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.root / "srv" / name
        path.write_text(text)
        path.chmod(mode)
        self.run("chown", "mysql:mysql", f"/srv/{name}", user="root")


class MySqlRig(Rig):
    """In place of Percona Server, by its real configuration but for what needs the rest of a node."""

    image = "baked-mysql"
    program = "/usr/sbin/mysqld"
    client = ("mysql", "--no-defaults", "--user=mysql")
    data = "data.tar.zst"
    increments = False
    semi_sync = "rpl_semi_sync_source"

    def told(self, **more: Any) -> dict[str, Any]:
        replicas = {"user": "ccx_replication", "password": "it's a \\ secret"}
        return super().told(speech="mysql", program=self.program, replication=replicas, **more)

    def lay_out(self, **settings: str) -> None:
        for folder in ("run", "binlog", "work"):
            (self.home / folder).mkdir(parents=True)
        home, spec = f"/srv/{self.name}", cluster("n1g1")
        elsewhere = {
            "datadir": f"{home}/data", "socket": f"{home}/run/s", "pid_file": f"{home}/run/pid",
            "bind_address": "127.0.0.1", "log_bin": f"{home}/binlog/binlog", "relay_log": f"{home}/binlog/relay",
            "skip_networking": "ON", "super_read_only": "OFF", "innodb_buffer_pool_size": "64M", **settings,
        }  # fmt: skip
        left_out = {*elsewhere, "ssl_ca", "ssl_cert", "ssl_key"}
        text = config.server_text(spec, spec.nodes[0])
        kept = [line for line in text.splitlines() if line.split(" ")[0] not in left_out]
        self._give(f"{self.name}/my.cnf", "\n".join([*kept, *(f"{k} = {v}" for k, v in elsewhere.items()), ""]))
        self.run("chown", "-R", "mysql:mysql", home, user="root")

    def initialise(self) -> None:
        """As before a new cluster's first server starts."""
        home = f"/srv/{self.name}"
        told = self.told(server=self.program, server_file=f"{home}/my.cnf", joining=False, rebuild_file=f"{home}/again")
        self._give(f"{self.name}/prepare.json", json.dumps(told))
        self.run(*self.agent("mysql_prepare.py", f"{home}/prepare.json")[3:])

    def position(self) -> str:
        return "".join(self.sql("select @@global.gtid_executed").replace("\\n", "").split())

    def number(self, position: str) -> int:
        return len(GtidSet.parse(position))

    def last(self, position: str) -> str:
        server, _, spans = position.partition(":")
        return f"{server}:{spans.rpartition('-')[2]}"

    def restored_to(self) -> str:
        return self.position()

    def numbers(self, last: int) -> str:
        counted = f"with recursive s (n) as (select 1 union all select n + 1 from s where n < {last})"
        return f"{counted} select /*+ set_var(cte_max_recursion_depth = {last + 1}) */ n from s"

    def copied_up_to(self, last: int) -> None:
        """It has what its log never had."""
        self.sql("reset binary logs and gtids")
        self.sql(f"set global gtid_purged = '00000000-0000-0000-0000-000000000001:1-{last}'; create database shop")

    def forget_log(self) -> None:
        there = self.position()
        self.sql(f"reset binary logs and gtids; set global gtid_purged = '{there}'")

    def never(self, gtid: str) -> dict[str, tuple[str, str]]:
        server, _, number = gtid.rpartition(":")
        others = {
            "never": f"00000000-0000-0000-0000-000000000077:{number}",
            "not-yet": f"{server}:{int(number) + 1000}",
        }
        return {name: (one, f"there is no transaction {one} in the log") for name, one in others.items()}

    def log(self) -> Log:
        return MySqlLog(GtidSet.parse(self.sql("select @@global.gtid_purged").replace("\\n", "")))


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """It is ended then."""
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def programs(name: str = "baked-mariadb") -> Iterator[Path]:
    """The folder that holds the programs of that image, with the agent's of today. Raises :class:`CanNotBeHad`."""
    try:
        image = ensure_image(name)
    except (CcxError, PermissionError) as error:
        raise CanNotBeHad(f"no image {name}: {error}") from error
    scratch = Path(tempfile.mkdtemp(prefix="ccx-rig-"))
    root = scratch / "root"
    for folder in ("root", "upper", "work"):
        (scratch / folder).mkdir()
    options = f"lowerdir={image},upperdir={scratch / 'upper'},workdir={scratch / 'work'}"
    mounted: list[Path] = []
    try:
        for words, where in (
            (["-t", "overlay", "ccx-rig", "-o", options], root),
            (["-t", "proc", "proc"], root / "proc"),
            (["--bind", "/dev"], root / "dev"),
        ):
            done = subprocess.run(["mount", *words, str(where)], capture_output=True, text=True, check=False)
            if done.returncode:
                raise CanNotBeHad(f"nothing can be mounted: {done.stderr.strip()}")
            mounted.append(where)
        shutil.copytree(AGENT, root / "usr/lib/ccx-agent/ccx_agent", dirs_exist_ok=True)
        yield root
    finally:
        for where in reversed(mounted):
            subprocess.run(["umount", "-l", str(where)], check=False)
        shutil.rmtree(scratch, ignore_errors=True)


async def in_thread(call: Any, *words: Any, **more: Any) -> Any:
    return await asyncio.to_thread(call, *words, **more)
