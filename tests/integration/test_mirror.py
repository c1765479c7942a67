"""A real aptly fills a mirror from signed repositories on this machine; what it serves is checked as nodes would."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from ccx.clouds.local.package_server import Handler
from ccx.cmon import deb
from ccx.errors import CcxError, Invalid
from ccx.network.mirror import keys as openpgp
from ccx.network.mirror.alternatives import apt_cacher_ng
from ccx.network.mirror.aptly import Aptly
from ccx.network.mirror.gpg import Gpg
from ccx.network.mirror.sources import node_packages
from ccx.network.mirror.suites import Suite, suites
from ccx.network.mirror.sync import Upstream, sync
from ccx.network.mirror.verify import Finding, verify
from ccx.network.page import everything
from ccx.settings import Settings
from ccx.settings.features import Kubernetes, Mirrors

SETTINGS = everything().model_copy(
    update={
        "kubernetes": Kubernetes(),
        "clouds": tuple(c for c in everything().clouds if c.type == "local"),
        "databases": tuple(d for d in everything().databases if d.code == "postgres"),
    }
)
BASE = "libbase"
"""What every vendor's package depends on, and the operating system has."""


@dataclass
class Archive:
    """A vendor's host: signed suites of tiny packages."""

    folder: Path
    key: openpgp.SigningKey
    url: str
    said: list[str] = field(default_factory=list)

    def publish(self, suite: str, names: list[str]) -> None:
        entries = []
        for name in names:
            control = {"Package": name, "Version": "1.0-1", "Architecture": "amd64", "Description": "a test"}
            if name != BASE:
                control["Depends"] = f"{BASE} (>= 0.5)"
            content = deb.build(control, {f"/usr/share/{name}": deb.File(name.encode())}, {})
            path = f"pool/{name}_1.0-1_amd64.deb"
            _write(self.folder / path, content)
            fields = {**control, "Filename": path, "Size": str(len(content)), **_sums(content)}
            entries.append("".join(f"{key}: {value}\n" for key, value in fields.items()))
        index = "\n".join(entries).encode()
        _write(self.folder / f"dists/{suite}/main/binary-amd64/Packages", index)
        digest = hashlib.sha256(index).hexdigest()
        release = (
            f"Origin: test\nSuite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\n"
            f"Date: Mon, 01 Jan 2024 00:00:00 UTC\nSHA256:\n {digest} {len(index)} main/binary-amd64/Packages\n"
        )
        with Gpg() as gpg:
            gpg.run("--import", str(self.key.secret))
            _write(self.folder / f"dists/{suite}/InRelease", gpg.run("--clearsign", stdin=release.encode()))

    def upstream(self, ring: Path) -> Callable[[Suite], Upstream]:
        return lambda suite: Upstream(self.url, suite.suite, ("main",), ring)


def _sums(content: bytes) -> dict[str, str]:
    return {"MD5sum": hashlib.md5(content).hexdigest(), "SHA256": hashlib.sha256(content).hexdigest()}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def served() -> Iterator[Callable[[Path], str]]:
    """Serves folders by HTTP on loopback, and gives their URLs."""
    running: list[ThreadingHTTPServer] = []

    def serve(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", _free_port()), partial(Handler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield serve
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def archive(tmp_path: Path, served: Callable[[Path], str]) -> Archive:
    folder = tmp_path / "vendor"
    folder.mkdir()
    found = Archive(folder, openpgp.signing_key(tmp_path / "vendor-key"), f"{served(tmp_path)}/vendor")
    found.publish(
        "trixie-pgdg",
        [n for n in node_packages("postgres", "17", "postgres_streaming") if n not in ("nftables", "etcd-server")],
    )
    found.publish("trixie", [BASE, "etcd-server", "nftables", "not-asked-for"])
    found.publish("trixie-updates", ["not-asked-for"])  # a suite may have nothing that is wanted
    found.publish("trixie-security", [BASE])
    return found


@pytest.fixture
def ring(archive: Archive, tmp_path: Path) -> Path:
    path = tmp_path / "ring.gpg"
    path.write_bytes(openpgp.binary(archive.key.public.read_bytes()))
    return path


async def _problems(settings: Settings) -> list[Finding]:
    return [finding for finding in await verify(settings, ("trixie",)) if finding.problem]


async def test_a_mirror_that_was_filled_serves_all_that_nodes_ask_for_under_the_vendors_paths(
    archive: Archive, ring: Path, tmp_path: Path, served: Callable[[Path], str]
) -> None:
    aptly, wanted = Aptly(tmp_path / "mirror", archive.said.append), suites(SETTINGS, ("trixie",))

    await asyncio.to_thread(sync, aptly, wanted, archive.upstream(ring), archive.said.append)

    mirrored = SETTINGS.model_copy(
        update={"mirror": Mirrors(packages=served(aptly.public), key=str(aptly.key.public))}
    )  # fmt: skip
    assert await _problems(mirrored) == []
    for folder, suite in (
        ("pub/repos/apt", "trixie-pgdg"),
        ("debian", "trixie"),
        ("debian-security", "trixie-security"),
    ):
        assert (aptly.public / folder / "dists" / suite / "InRelease").exists()
    there = {path.name for path in (aptly.public / "debian").rglob("*.deb")}
    assert {f"{BASE}_1.0-1_amd64.deb", "etcd-server_1.0-1_amd64.deb"} <= there, (
        "what vendors' packages depend on or lack"
    )
    assert "not-asked-for_1.0-1_amd64.deb" not in there

    stranger = openpgp.signing_key(tmp_path / "stranger")
    distrusted = mirrored.model_copy(
        update={"mirror": mirrored.mirror.model_copy(update={"key": str(stranger.public)})}
    )  # fmt: skip
    assert {f.problem.partition(":")[0] for f in await _problems(distrusted)} == {"its signature is not good"}

    next((aptly.public / "pub").rglob("patroni_*.deb")).unlink()
    index = aptly.public / "debian/dists/trixie/main/binary-amd64"
    for path in index.glob("Packages*"):
        path.write_bytes(path.read_bytes() + b"\n")
    wrong = {(f.suite, f.name): f for f in await _problems(mirrored)}
    assert "its file is not there" in wrong["trixie-pgdg", "patroni"].problem
    assert "not what the signed release says" in wrong["trixie", ""].problem
    assert wrong["trixie", ""].remedy


async def test_filling_goes_on_where_it_was_broken_off_and_publishes_nothing_before_it_is_whole(
    archive: Archive, ring: Path, tmp_path: Path
) -> None:
    aptly, wanted = Aptly(tmp_path / "mirror", archive.said.append), suites(SETTINGS, ("trixie",))
    away = archive.folder / "dists/trixie"
    away.rename(archive.folder / "away")

    with pytest.raises(CcxError, match="aptly mirror create failed"):
        await asyncio.to_thread(sync, aptly, wanted, archive.upstream(ring), archive.said.append)
    assert not aptly.public.exists()

    (archive.folder / "away").rename(away)
    archive.said.clear()
    await asyncio.to_thread(sync, aptly, wanted, archive.upstream(ring), archive.said.append)
    assert any("trixie-pgdg-main: nothing to fetch" in line for line in archive.said), archive.said
    assert (aptly.public / "debian/dists/trixie/InRelease").exists()


async def test_a_vendor_whose_signature_is_wrong_is_not_mirrored(archive: Archive, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.gpg"
    stranger.write_bytes(openpgp.binary(openpgp.signing_key(tmp_path / "stranger").public.read_bytes()))
    aptly = Aptly(tmp_path / "mirror", archive.said.append)

    with pytest.raises(CcxError, match="trixie-pgdg/InRelease has no signature by a trusted key"):
        await asyncio.to_thread(
            sync, aptly, suites(SETTINGS, ("trixie",)), archive.upstream(stranger), archive.said.append
        )
    assert not aptly.public.exists()


@pytest.mark.slow
def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Invalid, match=r"can't make .*/file/mirror: Not a directory"):
        Aptly(tmp_path / "file/mirror", print).open()


async def test_apt_cacher_ng_serves_the_vendors_paths_by_our_configuration_and_nothing_else(
    archive: Archive, tmp_path: Path
) -> None:
    """The distribution's package, unpacked beside the test: installed, it would start on this machine."""
    home = tmp_path / "cacher"
    for folder in ("debs/partial", "conf", "cache", "log"):
        (home / folder).mkdir(parents=True)
    fetch = f"apt-get -q -y -o Dir::Cache::archives={home}/debs -o APT::Sandbox::User=root install -d apt-cacher-ng"
    unpack = f"for deb in {home}/debs/*.deb; do dpkg-deb -x $deb {home}; done"
    done = await asyncio.to_thread(
        subprocess.run, ["sh", "-ec", f"{fetch}; {unpack}"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"apt-cacher-ng can't be downloaded: {done.stderr.strip()}")
    wanted = []
    for suite in suites(SETTINGS, ("trixie",)):
        name = suite.path.strip("/").replace("/", "-")  # each path has a host of its own
        with suppress(FileExistsError):
            (tmp_path / name).symlink_to(archive.folder)
        wanted.append(replace(suite, url=archive.url.replace("/vendor", f"/{name}")))
    (home / "conf/ccx.conf").write_text(apt_cacher_ng(wanted))
    libraries = ":".join({str(path.parent) for path in home.rglob("*.so*")})
    port = _free_port()
    cacher = await asyncio.create_subprocess_exec(
        str(next(home.rglob("sbin/apt-cacher-ng"))), "-c", str(home / "conf"), f"Port:{port}", "ForeGround:1",
        f"CacheDir:{home / 'cache'}", f"LogDir:{home / 'log'}", "BindAddress:127.0.0.1",
        f"SupportDir:{next(home.rglob('lib/apt-cacher-ng'))}", env={**os.environ, "LD_LIBRARY_PATH": libraries},
    )  # fmt: skip
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"Connection": "close"}) as http:
            async with asyncio.timeout(15):
                while not await _answers(http):
                    await asyncio.sleep(0.1)
            for suite in wanted:
                path = f"dists/{suite.suite}/InRelease"
                got = await http.get(f"{suite.path}/{path}")
                assert got.content == (archive.folder / path).read_bytes(), got.text
            assert (await http.get("/elsewhere/dists/trixie/InRelease")).status_code == 403
    finally:
        cacher.terminate()
        await cacher.wait()


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        await http.get("/")
    except httpx.TransportError:
        return False
    return True


def _free_port() -> int:
    """Below the ones that systems give out: apt-cacher-ng takes none above 32767."""
    for port in range(20_000, 20_100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")
