"""MariaDB as a script makes it by hand: with Galera, or a primary and replicas that follow it semi-synchronously.

The servers have the parameters, certificates and keys that CCX gives them, and the first user and database are made as
well. There is no keeper and no etcd: who is the primary stays as it was made. (:class:`KeepersByHand` has both.)
Galera's members join by its own copies (SST), as they do where nobody else makes one.
"""

from __future__ import annotations

import asyncio
import base64
import io
import ssl
import tarfile
from contextlib import suppress
from pathlib import Path

import pymysql
from tests.e2e.mariadb_writer import Parameters, select

from ccx.clouds.local.place import Place
from ccx.cmon.engines.mysql_family import config as replicas
from ccx.cmon.engines.mysql_family import membership
from ccx.cmon.engines.mysql_family.galera.config import tls_files
from ccx.cmon.engines.mysql_family.galera.layout import GROUP
from ccx.cmon.engines.mysql_family.layout import CONFIGURATION, KEEPER_UNIT, MYSQL, REPLICATION_USER, VOLUME
from ccx.cmon.engines.mysql_family.mariadb.engine import MariaDbEngine
from ccx.cmon.engines.mysql_family.mariadb.flavour import MARIADB
from ccx.cmon.engines.mysql_family.mariadb.galera import config as galera
from ccx.cmon.etcd.layout import DATA, ETCD_CLIENT, ETCD_UNIT
from ccx.cmon.manager.clients import Clients
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, NodeSpec
from ccx.settings import load

_SCRIPT, _UNIT = "/root/make.sh", "raw-mariadb.service"
_SOCKET = MARIADB.run / "mysqld.sock"
_UNIT_TEXT = """[Service]
Type=notify
User=mysql
RuntimeDirectory={run}
UMask=0077
ExecStart={server} --defaults-file={settings} {arguments}
Restart=always
RestartSec=500ms
TimeoutStartSec=infinity
LimitNOFILE=65536
"""
_PROGRAMS, _PACKED = "/usr/lib/ccx-agent", "/root/keeper.tar.gz.b64"
_BEGIN = f"set -e; install -d -m 0700 -o mysql -g mysql {VOLUME} {VOLUME}/binlog {VOLUME}/data\n"
_INITIALISE = (
    f"runuser -u mysql -- mariadb-install-db --no-defaults --datadir={VOLUME}/data --skip-test-db --skip-name-resolve"
    " --auth-root-authentication-method=socket --auth-root-socket-user=mysql --skip-log-bin >/dev/null\n"
)
_START = f"systemctl start {_UNIT}\n"
_ASK = f"runuser -u mysql -- mariadb --no-defaults --socket={_SOCKET} --user=mysql <<'SQL'\n"


class _MariaDb:
    vendor, version = "mariadb", "11.8"
    listens = MYSQL
    start = f"systemd-run --quiet --no-block bash {_SCRIPT}"

    async def close(self) -> None:
        """It keeps nothing."""

    async def _ask(self, cluster: ClusterSpec, node: NodeSpec, statement: str) -> dict[str, str]:
        """The rows, names with values; none from a node that is not there yet."""
        where: Parameters = {
            "host": node.hostname, "address": node.address, "port": MYSQL, "user": cluster.admin_user,
            "password": cluster.secrets.admin, "ssl": ssl.create_default_context(cadata=cluster.secrets.ca),
        }  # fmt: skip
        with suppress(pymysql.MySQLError, OSError):
            return dict(await asyncio.to_thread(select, where, statement))
        return {}


class GaleraByHand(_MariaDb):
    """Implements :class:`raw.ByHand`."""

    topology = "galera"

    def files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        node, first = cluster.node(label), cluster.nodes[0]
        if node is first:
            arguments = "--wsrep-new-cluster --wsrep-cluster-address=gcomm://"
            script = _BEGIN + _INITIALISE + _START + _ASK + _first(cluster) + "set global read_only = off;\nSQL\n"
        else:
            arguments = f"--wsrep-cluster-address=gcomm://{','.join(n.address for n in cluster.nodes)}"
            script = _BEGIN + _until_listens(first, GROUP) + _START
        return [
            *tls_files(cluster, label), NodeFile(replicas.SERVER_FILE, galera.server_text(cluster, node)),
            *_unit_and_script(arguments, script),
        ]  # fmt: skip

    async def whole(self, cluster: ClusterSpec) -> bool:
        wanted = "show global status where variable_name in ('wsrep_cluster_size', 'wsrep_local_state_comment')"
        found = await asyncio.gather(*(self._ask(cluster, node, wanted) for node in cluster.nodes))
        synced = {"wsrep_cluster_size": str(len(cluster.nodes)), "wsrep_local_state_comment": "Synced"}
        return all(one == synced for one in found)


class ReplicationByHand(_MariaDb):
    """Implements :class:`raw.ByHand`."""

    topology = "replication"

    def files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        node, first = cluster.node(label), cluster.nodes[0]
        script = _BEGIN + _INITIALISE + _START
        if node is first:
            script += _ASK + _first(cluster) + _replicas(cluster)
            script += "set global rpl_semi_sync_master_enabled = on; set global read_only = off;\nSQL\n"
        else:
            script += _until_listens(first, MYSQL) + _ASK + _follow(cluster, first) + "SQL\n"
        return [
            *replicas.tls_files(cluster, label),
            NodeFile(replicas.SERVER_FILE, replicas.server_text(MARIADB, cluster, node)),
            *_unit_and_script("", script),
        ]

    async def whole(self, cluster: ClusterSpec) -> bool:
        wanted = "show global status like 'Rpl_semi_sync_master_clients'"
        found = await self._ask(cluster, cluster.nodes[0], wanted)
        return found == {"Rpl_semi_sync_master_clients": str(len(cluster.nodes) - 1)}


class KeepersByHand:
    """Replication that fails over by itself: with etcd and keepers, as PostgreSQL by hand has Patroni.

    Implements :class:`raw.ByHand`. It makes no tenant's user and database; its servers' data are made by MariaDB's own
    program, as anybody's are, and not taken from what CCX's images bring along.
    """

    vendor, topology, version = _MariaDb.vendor, ReplicationByHand.topology, _MariaDb.version
    listens = ETCD_CLIENT

    def __init__(self, place: Place) -> None:
        settings = load(place.instance)
        self._engine = MariaDbEngine(settings)
        self._clients = Clients(settings, *MariaDbEngine.rows)
        self._named = False

    start = (
        f"rm -rf /usr/lib/ccx-first; install -d -m 0700 -o mysql -g mysql {VOLUME} {VOLUME}/binlog;"
        f" install -d -m 0700 -o etcd -g etcd {DATA}/etcd;"
        f" install -d {_PROGRAMS}; base64 -d {_PACKED} | tar -xzC {_PROGRAMS};"
        f" systemctl start --no-block {ETCD_UNIT} {MARIADB.unit} {KEEPER_UNIT}"
    )

    def files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        return [*replicas.node_files(MARIADB, cluster, label), NodeFile(_PACKED, _packed_keeper())]

    async def whole(self, cluster: ClusterSpec) -> bool:
        if not self._named:
            await membership.begin(self._clients.of(cluster), cluster)
            self._named = True
        view = await self._engine.observe(cluster)
        return not view.problems and view.primary is not None

    async def close(self) -> None:
        await self._engine.close()
        await self._clients.close()


def _packed_keeper() -> str:
    """The keeper's program, with all that it is packed with."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(Path(__file__).parents[1] / "agent" / "ccx_agent", "ccx_agent", filter=_source)
    return base64.encodebytes(packed.getvalue()).decode()


def _source(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


def _unit_and_script(arguments: str, script: str) -> list[NodeFile]:
    unit = _UNIT_TEXT.format(
        run=MARIADB.run.name, server=MARIADB.server, settings=replicas.SERVER_FILE, arguments=arguments
    )
    return [NodeFile(f"/etc/systemd/system/{_UNIT}", unit), NodeFile(_SCRIPT, script, "0700")]


def _until_listens(node: NodeSpec, port: int) -> str:
    return f"until (exec 3<>/dev/tcp/{node.address}/{port}) 2>/dev/null; do sleep 0.1; done\n"


def _first(cluster: ClusterSpec) -> str:
    who = f"'{cluster.admin_user}'@'%'"
    return (
        f"create database {cluster.admin_database};\n"
        f"create user {who} identified by '{cluster.secrets.admin}' require ssl;\n"
        f"grant all on {cluster.admin_database}.* to {who};\n"
    )


def _replicas(cluster: ClusterSpec) -> str:
    who = f"'{REPLICATION_USER}'@'%'"
    return (
        f"create user {who} identified by '{cluster.secrets.replication}' require x509;\n"
        f"grant replication slave on *.* to {who};\n"
    )


def _follow(cluster: ClusterSpec, first: NodeSpec) -> str:
    return (
        f"change master to master_host = '{first.address}', master_user = '{REPLICATION_USER}',"
        f" master_password = '{cluster.secrets.replication}', master_ssl = 1,"
        f" master_ssl_ca = '{CONFIGURATION}/ca.crt', master_ssl_cert = '{CONFIGURATION}/node.crt',"
        f" master_ssl_key = '{CONFIGURATION}/node.key', master_ssl_verify_server_cert = 1,"
        " master_connect_retry = 1, master_use_gtid = slave_pos;\nstart slave;\n"
    )
