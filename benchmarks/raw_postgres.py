"""PostgreSQL with Patroni and etcd, as a script starts it. It makes no tenant's user and database."""

from __future__ import annotations

from ccx.clouds.local.place import Place
from ccx.cmon.engines.postgres import PostgresEngine, config
from ccx.cmon.engines.postgres.layout import CONFIGURATION, PATRONI_UNIT
from ccx.cmon.etcd.layout import DATA, ETCD_CLIENT, ETCD_UNIT
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec
from ccx.settings import Paths, Settings

_READY = f"{CONFIGURATION}/ready.py"
# Patroni must not ask etcd before that has agreed its version: it would take it for one without the v3 API.
_WAIT_FOR_ETCD = """\
import json, ssl, time, urllib.request
told = json.load(open("{folder}/etcd-ready.json"))["args"]
context = ssl.create_default_context(cafile=told["ca"])
context.load_cert_chain(told["certificate"], told["key"])
while True:
    for endpoint in told["endpoints"]:
        try:
            with urllib.request.urlopen(endpoint + "/version", timeout=1, context=context) as answer:
                if json.load(answer).get("etcdcluster", "not_decided") != "not_decided":
                    raise SystemExit
        except OSError:
            pass
    time.sleep(0.05)
""".replace("{folder}", str(CONFIGURATION))
_UNIT = f"""[Service]
ExecStartPre=/usr/bin/python3 -I {_READY}
ExecStart=
ExecStart=/usr/bin/patroni {CONFIGURATION}/patroni.yml
"""
_START = (
    f"install -d -m 0700 -o postgres -g postgres {DATA}/postgresql; install -d -m 0700 -o etcd -g etcd {DATA}/etcd; "
    f"systemctl start --no-block {ETCD_UNIT} {PATRONI_UNIT}"
)


class PostgresByHand:
    """Implements :class:`raw.ByHand`."""

    vendor, topology, version = "postgres", "postgres_streaming", "17"
    listens, start = ETCD_CLIENT, _START

    def __init__(self, place: Place) -> None:
        self._engine = PostgresEngine(Settings(paths=Paths.of(place.instance)))

    def files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        return [
            *config.node_files(cluster, label),
            NodeFile(_READY, _WAIT_FOR_ETCD),
            NodeFile(f"/etc/systemd/system/{PATRONI_UNIT}.d/raw.conf", _UNIT),
        ]

    async def whole(self, cluster: ClusterSpec) -> bool:
        view = await self._engine.observe(cluster)
        return not view.problems and view.primary is not None

    async def close(self) -> None:
        await self._engine.close()
