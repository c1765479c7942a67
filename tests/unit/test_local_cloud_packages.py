"""One package mirror serves all instances of a machine: what one of them wants takes nothing from another."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ccx.clouds.local import packages
from ccx.errors import CcxError
from ccx.network.mirror.suites import Suite
from ccx.settings import Settings


def suite(*names: str, base: bool = False) -> Suite:
    row = "packages.debian" if base else "packages.postgresql"
    return Suite(row, "", "trixie", "http://x", f"/{row}", "trixie", ("main",), names, base, "", "")


class Archive:
    """Debian's, and what a mirror is filled with from it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.release: str | None = "first"
        self.filled: list[tuple[Suite, ...]] = []
        monkeypatch.setattr(packages.image, "release_of", self.release_of)
        monkeypatch.setattr(packages, "suites", lambda settings, _: settings.wanted)
        monkeypatch.setattr(packages, "sync", lambda _aptly, wanted, *_: self.filled.append(wanted))

    def release_of(self, archive: str) -> str:
        if self.release is None:
            raise OSError("no route")
        return self.release


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Archive:
    return Archive(monkeypatch)


def ensure(home: Path, *wanted: Suite) -> None:
    settings: Any = SimpleNamespace(wanted=wanted)
    packages.ensure_packages(cast(Settings, settings), lambda _: None, home)


def test_what_another_instance_wants_is_added_and_nothing_goes(tmp_path: Path, archive: Archive) -> None:
    ensure(tmp_path, suite("postgresql-16"), suite(base=True))
    ensure(tmp_path, suite("postgresql-17"))
    assert archive.filled[-1] == (suite("postgresql-16", "postgresql-17"), suite(base=True))

    ensure(tmp_path, suite("postgresql-16"), suite(base=True))
    assert len(archive.filled) == 2


def test_an_older_mariadb_comes_from_the_release_of_debian_that_has_it() -> None:
    def mariadb(version: str) -> Suite:
        path = f"/repo/mariadb-server/{version}/repo/debian"
        return Suite("packages.mariadb", "mariadb", "trixie", "http://x", path, "trixie", ("main",), (), False, "", "")

    older = packages.stand_in(mariadb("10.11"), "http://debian")
    assert (older.suite, older.whole) == ("bookworm", True)
    assert packages.stand_in(mariadb("11.8"), "http://debian").suite == "trixie"


def test_a_new_release_of_the_archive_fills_it_again(tmp_path: Path, archive: Archive) -> None:
    ensure(tmp_path, suite("postgresql-17"))
    archive.release = "second"
    ensure(tmp_path, suite("postgresql-17"))
    assert len(archive.filled) == 2


def test_without_a_way_to_the_archive_it_serves_what_it_has_and_refuses_what_it_lacks(
    tmp_path: Path, archive: Archive
) -> None:
    ensure(tmp_path, suite("postgresql-16", "postgresql-17"))
    archive.release = None

    ensure(tmp_path, suite("postgresql-17"))
    with pytest.raises(CcxError, match="does not answer"):
        ensure(tmp_path, suite("postgresql-18"))
