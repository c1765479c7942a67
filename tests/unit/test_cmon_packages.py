"""The agent's package and repository, as the tools of a node read them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ccx.cmon import packages, sources
from ccx.cmon.packages import agent_package, build_repository

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> packages.AptRepository:
    return build_repository(tmp_path_factory.mktemp("apt"), tmp_path_factory.mktemp("key"))


def test_the_package_is_the_same_each_time_and_another_when_its_content_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = agent_package()
    assert agent_package() == first
    changed = tmp_path / "agent"
    shutil.copytree(sources.node_side(), changed)
    (changed / "ccx_agent/hello.py").write_text("VERBS = {}\n")
    monkeypatch.setattr(packages, "node_side", lambda: changed)
    assert agent_package()[0] != first[0]


def test_what_is_offered_is_what_was_built_whatever_the_sources_are_now(
    repository: packages.AptRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "agent_package", lambda: ("2.0", b""))
    assert packages.offered_version(repository.path) == repository.agent_version


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg is not installed")
def test_dpkg_reads_the_package(repository: packages.AptRepository, tmp_path: Path) -> None:
    deb = next(repository.path.glob("*.deb"))
    control = subprocess.run(["dpkg-deb", "-f", deb], capture_output=True, text=True, check=True).stdout
    assert f"Version: {repository.agent_version}" in control
    subprocess.run(["dpkg-deb", "-x", deb, tmp_path], check=True)
    assert (tmp_path / "etc/sudoers.d/ccx-agent").stat().st_mode & 0o777 == 0o440
    launcher = tmp_path / "usr/bin/ccx-agent"
    assert launcher.stat().st_mode & 0o777 == 0o755
    version = (tmp_path / "usr/lib/ccx-agent/ccx_agent/version.py").read_text()
    assert repository.agent_version in version


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg is not installed")
def test_the_package_has_all_that_the_probe_needs(repository: packages.AptRepository, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "-x", next(repository.path.glob("*.deb")), tmp_path], check=True)
    start = f"import sys; sys.path.insert(0, '{tmp_path}/usr/lib/ccx-agent'); from ccx_agent.main import main; main()"
    asked = {"key": "k", "host": "127.0.0.1", "port": 1, "speaks": "https"}
    # Isolated: nothing of this checkout or its environment is to be found.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start, "probe"], input=json.dumps({"args": {"requests": [asked]}}),
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    (answer,) = json.loads(done.stdout.splitlines()[-1])["result"]["answers"]
    assert (answer["key"], answer["code"]) == ("k", "refused")


@pytest.mark.skipif(shutil.which("gpgv") is None, reason="gpgv is not installed")
def test_the_release_is_signed_by_the_published_key_and_names_the_index(
    repository: packages.AptRepository, tmp_path: Path
) -> None:
    ring = tmp_path / "key.gpg"
    dearmored = subprocess.run(
        ["gpg", "--homedir", tmp_path, "--dearmor"], input=repository.public_key_armored.encode(),
        capture_output=True, check=True,
    )  # fmt: skip
    ring.write_bytes(dearmored.stdout)
    release = repository.path / "InRelease"
    subprocess.run(["gpgv", "--keyring", ring, release], check=True, capture_output=True)
    forged = tmp_path / "InRelease"
    forged.write_text(release.read_text().replace("Suite: ccx", "Suite: xcc"))
    assert subprocess.run(["gpgv", "--keyring", ring, forged], check=False, capture_output=True).returncode != 0


def test_building_again_changes_nothing_and_keeps_the_key(tmp_path: Path) -> None:
    first = build_repository(tmp_path / "apt", tmp_path / "key")
    before = {path.name: path.read_bytes() for path in first.path.iterdir()}
    again = build_repository(tmp_path / "apt", tmp_path / "key")
    assert again == first
    assert {path.name: path.read_bytes() for path in again.path.iterdir()} == before


def test_the_signing_key_is_its_owners_alone_and_no_agent_stays_behind(tmp_path: Path) -> None:
    build_repository(tmp_path / "apt", tmp_path / "key")
    assert (tmp_path / "key/signing-key.asc").stat().st_mode & 0o077 == 0
    assert "PRIVATE" not in (tmp_path / "key/signing-key.pub.asc").read_text()
    assert not any("PRIVATE" in path.read_text(errors="ignore") for path in (tmp_path / "apt").iterdir())
