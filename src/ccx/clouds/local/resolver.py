"""The instance's DNS server: Debian's dnsmasq in the router's namespace. It knows our names and no others."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from ccx.clouds.base import Unavailable
from ccx.clouds.local.cgroups import Group
from ccx.clouds.local.place import Place
from ccx.clouds.local.processes import Watched
from ccx.clouds.local.shell import NAMESPACES, SEARCH_PATH
from ccx.errors import Invalid

_STARTS_WITHIN_S = 5.0
_POLL_S = 0.02
_PAUSE_S = 0.5
_LARGEST_LOG = 10 << 20
GROUP = "resolver"


class Resolver:
    """Serves ``names``: datastore to name to addresses. Outlives the daemon, which takes it over again."""

    def __init__(self, place: Place, ttl: int) -> None:
        self._place = place
        self._ttl = ttl
        self._group = Group(place.instance, GROUP)
        self._watched: Watched | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, names: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        """Writes all names and makes sure that the server runs, from now on."""
        self._place.zones.mkdir(parents=True, exist_ok=True)
        for file in self._place.zones.iterdir():
            if file.name not in names:
                file.unlink()
        for datastore, records in names.items():
            self._write(datastore, records)
        if not self._adopt():
            await self._run()
        self._reload()
        self._keeper = asyncio.create_task(self._keep())

    def publish(self, datastore: str, records: Mapping[str, Sequence[str]]) -> None:
        """Replaces one datastore's names, at once."""
        self._write(datastore, records)
        self._reload()

    async def close(self) -> None:
        """Stops looking after it. It goes on."""
        if self._keeper is not None:
            self._keeper.cancel()
        if self._watched is not None:
            self._watched.close()

    def _write(self, datastore: str, records: Mapping[str, Sequence[str]]) -> None:
        file = self._place.zones / datastore
        lines = [f"{address} {name}\n" for name, addresses in sorted(records.items()) for address in addresses]
        if not lines:
            file.unlink(missing_ok=True)
            return
        partial = self._place.run / f"names.{datastore}.new"  # outside: dnsmasq reads whatever is in the folder
        partial.write_text("".join(lines))
        partial.chmod(0o644)
        partial.replace(file)

    def _reload(self) -> None:
        if self._watched is not None:
            self._watched.send(signal.SIGHUP)

    def _adopt(self) -> bool:
        pids = self._group.processes()
        if pids:
            try:
                self._watched = Watched(pids[0])
            except ProcessLookupError:
                return False
        return bool(pids)

    async def _run(self) -> None:
        """Raises Unavailable with what it said when it ends at once."""
        log = self._place.var / "dnsmasq.log"
        if log.exists() and log.stat().st_size > _LARGEST_LOG:
            log.replace(log.with_suffix(".log.1"))
        process = await asyncio.to_thread(_start, self._command(log), log)
        deadline = asyncio.get_running_loop().time() + _STARTS_WITHIN_S
        while process.poll() is None and asyncio.get_running_loop().time() < deadline:
            if await asyncio.to_thread(self._listens) and self._adopt():
                return
            await asyncio.sleep(_POLL_S)
        self._group.kill()
        raise Unavailable(f"the DNS server did not start; its last words are in {log}")

    async def _keep(self) -> None:
        while True:
            if self._watched is not None:
                await self._watched.ended.wait()
            try:
                await self._run()
            except (Unavailable, OSError):
                await asyncio.sleep(_PAUSE_S)

    def _listens(self) -> bool:
        """Whether anybody has port 53 in the router's namespace, as its first process sees it."""
        for pid in self._group.processes():
            try:
                table = Path(f"/proc/{pid}/net/udp").read_text()
            except OSError:
                continue
            if any(line.split()[1].endswith(":0035") for line in table.splitlines()[1:]):
                return True
        return False

    def _command(self, log: Path) -> list[str]:
        place = self._place
        return [
            *self._group.launcher(cpus=0, memory=0),
            "nsenter", f"--net={NAMESPACES / place.router_namespace}", "--",
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=nobody", "--group=nogroup",
            "--pid-file", f"--listen-address={place.router}", "--bind-interfaces",
            "--no-resolv", "--no-hosts", f"--addn-hosts={place.zones}", f"--local-ttl={self._ttl}",
            "--address=/#/",  # whatever is not ours does not exist
            "--no-negcache", "--cache-size=0", f"--log-facility={log}",
        ]  # fmt: skip


def check_names(datastore: object, records: object) -> dict[str, list[str]]:
    """The records as they can be served. Raises Invalid for what are none."""
    if not (isinstance(datastore, str) and datastore.isalnum() and datastore.isascii() and isinstance(records, dict)):
        raise Invalid("a zone part and its records are needed", remedy='Send {"zone_part": "…", "records": {…}}')
    for name, addresses in records.items():
        labels = name.split(".")
        if len(name) > 253 or not all(0 < len(la) < 64 and la.replace("-", "").isalnum() for la in labels):
            raise Invalid(f"{name!r} is no name", field="records", remedy="Use letters, digits, hyphens and dots")
        try:
            for address in addresses:
                IPv4Address(address)
        except ValueError as error:
            raise Invalid(str(error), field="records", remedy="Give IPv4 addresses") from None
    return {name: list(addresses) for name, addresses in records.items() if addresses}


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/",
            env={"PATH": SEARCH_PATH},
        )  # fmt: skip
