"""How a node is told where its packages come from, and what it says when something is wrong there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from agent.ccx_agent import packages as verb
from agent.ccx_agent.errors import AgentError

SOURCE: dict[str, Any] = {
    "name": "packages.postgresql", "uri": "http://apt.corp/pub/repos/apt", "suites": ["trixie-pgdg"],
    "components": ["main"], "distributions": ["debian"], "keyring": "", "key_url": "https://www.corp/KEY.asc",
    "proxied": True, "key_proxied": True,
}  # fmt: skip
BASE: dict[str, Any] = {**SOURCE, "name": "packages.debian", "uri": "http://deb.corp:8080/debian", "suites": ["trixie"],
        "keyring": "/usr/share/keyrings/debian-archive-keyring.gpg", "proxied": False}  # fmt: skip


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(verb, "ROOT", tmp_path)
    monkeypatch.setattr(verb.platform, "freedesktop_os_release", lambda: {"ID": "debian", "VERSION_CODENAME": "trixie"})
    return tmp_path


def test_nothing_is_touched_when_all_packages_are_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "output", lambda *_, **__: "patroni installed\nlibpq5:amd64 installed\n")

    assert verb.packages({"packages": ["patroni", "libpq5"]}, lambda _: None) == {"installed": []}
    assert list(root.iterdir()) == []


def test_a_package_that_is_only_half_configured_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "output", lambda *_, **__: "patroni half-configured\nlibpq5:amd64 installed\n")

    assert verb._missing(["patroni", "libpq5", "etcd-server"]) == ["patroni", "etcd-server"]


def test_what_is_no_package_name_is_refused_before_anything_runs() -> None:
    with pytest.raises(AgentError, match="no package's name"):
        verb.packages({"packages": ["patroni", "-o=Dir::Etc=/tmp"]}, lambda _: None)


def test_files_go_where_packages_read_their_own_settings_and_nowhere_else(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "output", lambda *_, **__: "")

    for path in ("/etc/shadow", "/etc/postgresql-common/../shadow"):
        args = {"packages": ["patroni"], "sources": [BASE], "files": [{"path": path, "content": "x"}]}
        with pytest.raises(AgentError, match="not a file that packages are prepared by"):
            verb.packages(args, lambda _: None)
    assert not (root / "etc/shadow").exists()


def test_the_release_is_filled_in_and_sources_for_other_systems_are_left_out() -> None:
    template = {**SOURCE, "suites": ["{codename}-pgdg"], "uri": "http://x/{distribution}"}

    (found,) = verb._for_this_node({"sources": [template, {**SOURCE, "distributions": ["ubuntu"]}]})

    assert (found["suites"], found["uri"]) == (["trixie-pgdg"], "http://x/debian")


def test_the_version_ordered_is_installed_though_the_system_has_a_newer_one_and_no_other(tmp_path: Path) -> None:
    """apt itself says so."""
    for version in ("1:10.11.18-1", "1:11.8.9-1"):
        control = tmp_path / f"build-{version[2:]}" / "DEBIAN" / "control"
        control.parent.mkdir(parents=True)
        about = "Architecture: all\nMaintainer: nobody <nobody@example.net>\nDescription: a server\n"
        control.write_text(f"Package: mariadb-server\nVersion: {version}\n{about}")
        subprocess.run(["dpkg-deb", "--build", str(control.parents[1]), str(tmp_path)], check=True, capture_output=True)
    listed = subprocess.run(["dpkg-scanpackages", "-m", "."], cwd=tmp_path, check=True, capture_output=True).stdout
    (tmp_path / "Packages").write_bytes(listed)
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{tmp_path} ./\n")
    (tmp_path / "status").touch()
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (tmp_path / folder).mkdir(parents=True)

    def candidate(of: str) -> str:
        (tmp_path / "pins").write_text(verb._pinned("mariadb-*", of) if of else "")
        options = {
            "Dir::Etc::SourceList": "sources.list", "Dir::Etc::SourceParts": "-", "Dir::Etc::Preferences": "pins",
            "Dir::Etc::PreferencesParts": "-", "Dir::State": "state", "Dir::State::Status": "status",
            "Dir::Cache": "cache",
        }  # fmt: skip
        told = [f"-o={name}={value if value == '-' else tmp_path / value}" for name, value in options.items()]
        told.append("-o=APT::Sandbox::User=root")  # nobody else reads the test's folder
        subprocess.run(["apt-get", *told, "update"], check=True, capture_output=True)
        policy = subprocess.run(["apt-cache", *told, "policy", "mariadb-server"], check=True, capture_output=True)
        return re.findall(r"Candidate: (\S+)", policy.stdout.decode())[0]

    assert candidate("") == "1:11.8.9-1"
    assert candidate("1:10.11.*") == "1:10.11.18-1"
    assert candidate("1:11.8.*") == "1:11.8.9-1"
    assert candidate("1:11.4.*") == "(none)"


def test_a_mirrors_key_signs_all_repositories_and_without_one_each_has_its_own(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "replace", lambda path, content, **_: path.write_bytes(content))
    monkeypatch.setattr(verb, "_fetched", lambda name, url, proxy: f"{name} {url} {proxy}".encode())

    assert "Signed-By: /etc/ccx/apt/keys/mirror.asc\n" in verb._stanza(BASE, {"key": "KEY"})
    assert f"Signed-By: {BASE['keyring']}\n" in verb._stanza(BASE, {})
    assert "Signed-By: /etc/ccx/apt/keys/postgresql.asc\n" in verb._stanza(SOURCE, {"proxy": "http://p:3128"})
    fetched = (root / "etc/ccx/apt/keys/postgresql.asc").read_text()
    assert fetched == "packages.postgresql https://www.corp/KEY.asc http://p:3128"


def test_only_hosts_that_go_by_the_proxy_are_asked_by_it() -> None:
    by_proxy = verb._proxies([SOURCE, BASE], "http://p:3128")

    assert by_proxy == 'Acquire::http::Proxy::apt.corp "http://p:3128";\nAcquire::http::Proxy::deb.corp "DIRECT";\n'
    assert 'Acquire::http::Proxy::apt.corp "DIRECT";' in verb._proxies([SOURCE, BASE], "")


class Machine:
    """Stands in for apt and dpkg: what was called, with which environment, and what stood in its file by then."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, fails: str = "") -> None:
        self.commands: list[list[str]] = []
        self.configured: list[tuple[str, int]] = []
        self.held_back: dict[str, bool] = {}
        self._root = root
        self._fails = fails
        self.installed = False
        for folder in ("run", "usr/sbin", "usr/lib/systemd/system"):
            (root / folder).mkdir(parents=True)
        (root / "usr/lib/systemd/system/etcd.service").touch()
        monkeypatch.setattr(verb, "replace", lambda path, content, **_: path.write_bytes(content))
        monkeypatch.setattr(verb, "output", self.output)
        monkeypatch.setattr(verb.subprocess, "run", self.apt)
        monkeypatch.setattr(verb, "_install", lambda command, _, __, environment: self.install(command, environment))

    def output(self, command: list[str], **_: Any) -> str:
        self._ran(command)
        return "patroni installed\n" if command[0] == "dpkg-query" and self.installed else ""

    def apt(self, command: list[str], env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        self._ran(command)
        file = Path(env["APT_CONFIG"])
        self.configured.append((file.read_text(), file.stat().st_mode & 0o777))
        return subprocess.CompletedProcess(command, 0, "", "")

    def install(self, command: list[str], environment: dict[str, str]) -> None:
        self.apt(["apt-get", *command], environment)
        self.installed = True
        if self._fails == "install":
            raise KeyboardInterrupt  # as if the agent was told to end

    def _ran(self, command: list[str]) -> None:
        self.commands.append(command)
        self.held_back[command[0]] = self.policy.exists()

    @property
    def policy(self) -> Path:
        return self._root / "usr/sbin/policy-rc.d"


ARGS: dict[str, Any] = {"packages": ["patroni"], "sources": [SOURCE], "off": ["etcd"],
                        "key": "KEY", "proxy": "http://user:pa55word@p:3128"}  # fmt: skip


def test_a_proxys_password_is_in_a_file_that_only_root_reads_while_apt_runs(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(root, monkeypatch)

    verb.packages(ARGS, lambda _: None)

    assert not any("pa55word" in word for command in machine.commands for word in command)
    assert [mode for text, mode in machine.configured if "user:pa55word@p:3128" in text] == [0o600, 0o600]
    assert not any((root / "run").iterdir())


def test_nothing_that_packages_bring_along_is_started_by_them(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(root, monkeypatch)

    verb.packages(ARGS, lambda _: None)

    assert machine.held_back == {"dpkg-query": False, "dpkg": True, "systemctl": True, "apt-get": False}
    assert not machine.policy.exists()


def test_what_was_broken_off_after_its_last_package_is_finished_by_the_next_call(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(root, monkeypatch, fails="install")
    with pytest.raises(KeyboardInterrupt):
        verb.packages(ARGS, lambda _: None)
    assert machine.policy.exists()

    assert verb.packages(ARGS, lambda _: None) == {"installed": []}
    assert machine.commands[-1] == ["systemctl", "--no-reload", "disable", "etcd.service"]
    assert not machine.policy.exists()


@pytest.mark.parametrize(
    ("said", "named", "wrong"),
    [
        ("E: Failed to fetch http://deb.corp:8080/debian/dists/trixie/InRelease  Could not connect to deb.corp:8080",
         "packages.debian", "its lists can't be read"),
        ("W: GPG error: http://apt.corp/pub/repos/apt trixie-pgdg InRelease: The following signatures couldn't be "
         "verified because the public key is not available: NO_PUBKEY 76F1A20FF987672F\n"
         "E: The repository 'http://apt.corp/pub/repos/apt trixie-pgdg InRelease' is not signed.",
         "packages.postgresql", "not signed by the key that nodes trust"),
        ("E: Failed to fetch http://apt.corp/pub/repos/apt/pool/main/p/patroni.deb  404  Not Found",
         "packages.postgresql", "its lists can't be read"),
    ],
)  # fmt: skip
def test_apts_complaint_is_told_with_the_contracts_name_of_the_repository(said: str, named: str, wrong: str) -> None:
    complaint = verb._complaint(said, [SOURCE, BASE], "its lists can't be read")

    assert complaint.err.startswith(f"repository {named} (http://")
    assert wrong in complaint.err
    assert complaint.remedy


def test_however_much_apt_complains_it_is_followed_to_its_end_and_its_last_words_are_told(tmp_path: Path) -> None:
    apt = tmp_path / "apt-get"
    apt.write_text(
        "#!/bin/sh\nhead -c 200000 /dev/zero | tr '\\0' '\\n' >&2\n"
        "echo pmstatus:patroni:100:Installed >/proc/self/fd/${2#*=}\n"
        "echo 'E: Sub-process /usr/bin/dpkg returned an error code (1)' >&2\nexit 100\n"
    )
    apt.chmod(0o755)
    told: list[dict[str, Any]] = []
    with pytest.raises(AgentError, match="Sub-process /usr/bin/dpkg returned an error code"):
        verb._install(["install"], [BASE], told.append, {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert told[-1]["done"] == 100
