"""Makes one backup on this node, of any server of the family: ``python3 -I mariadb_copy.py CONFIGURATION NAME KIND``.

The tool's copy is compressed, summed, encrypted and stored as it comes. What it is stands in a manifest that is written
last: without one there is no backup.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from calendar import timegm
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

FULL, INCREMENTAL = "full", "incremental"
DATA, MANIFEST = "data.xbstream.zst", "manifest.json"
"""The former is called otherwise where the manifest says so."""
_STAMP = "%Y%m%dT%H%M%SZ"
_LABEL = re.compile(rf"(?P<stamp>\d{{8}}T\d{{6}}Z)-(?P<kind>{FULL}|{INCREMENTAL})")
_TELL_EVERY_S = 1.0
_KNOWN_MARGIN = 1.2
"""So much more than the data its copy may take: the log of what changes meanwhile is in it."""


class NoBackup(Exception):
    """Why it was not made."""


def folder(told: dict[str, Any]) -> str:
    """Where in the store its backups are."""
    return f"backup/{told['archive']}"


def manifests(store: Any, told: dict[str, Any]) -> list[dict[str, Any]]:
    """Of all backups that are complete, oldest first. Of one whose manifest is ``damaged`` it says what its name does:
    nothing can be made of it, and nothing that builds on it."""
    whole, damaged = store.documents(folder(told), MANIFEST)
    found = [*whole, *(one for label, why in damaged.items() for one in _as_named(label, why))]
    return sorted(found, key=lambda one: (one["ended"], one["id"]))


def _as_named(label: str, why: str) -> Iterator[dict[str, Any]]:
    if named := _LABEL.fullmatch(label):
        at = timegm(time.strptime(named["stamp"], _STAMP))
        yield {
            "id": label, "name": "", "kind": named["kind"], "parent": None, "started": at, "ended": at, "size": 0,
            "stored": 0, "gtid": "", "node": "", "damaged": why,
        }  # fmt: skip


def data_of(one: dict[str, Any]) -> str:
    """Where in the store its copy is, below the folder of all."""
    return f"{one['id']}/{one.get('data', DATA)}"


def make(told: dict[str, Any], name: str, kind: str, told_far: Path) -> dict[str, Any]:
    """The manifest of the backup ``name``, made now or found. ``told_far``: the file that says how far it is."""
    from ccx_agent.copying import tool_here
    from ccx_agent.mariadb_store import Store

    store, tool = Store(told), tool_here(told)
    known = manifests(store, told)
    if (made := next((one for one in known if one["name"] == name), None)) is not None:
        return made
    data = Path(told["data"])
    lineage, size = _lineage(data), _size(data)
    newest = next((one for one in reversed(known) if "damaged" not in one), None)
    # A page's place in the redo log means something on the server that wrote it, and on no copy of it.
    goes_on = newest is not None and newest["lineage"] == lineage and newest.get("tool", tool.name) == tool.name
    parent = newest if kind == INCREMENTAL and tool.increments and goes_on else None
    began = time.time()
    stamp = time.strftime(_STAMP, time.gmtime(began))
    one = {
        "id": f"{stamp}-{INCREMENTAL if parent else FULL}", "name": name, "kind": INCREMENTAL if parent else FULL,
        "parent": parent["id"] if parent else None, "started": began, "size": size, "lineage": lineage,
        "node": told["label"], "domain": told.get("domain"), "speech": told.get("speech", "mariadb"),
        "tool": tool.name, "data": tool.data,
    }  # fmt: skip
    work = Path(told["work"]) / f"copy-{name}"
    # Also what another one left here, whose end nobody could tell this node of: it may be as large as all the data.
    for left in {work, *work.parent.glob("copy-*")}:
        tool.forget(told, left)
    work.mkdir(mode=0o700, parents=True)
    try:
        with _apart(told), _tidying(store, told, {one["id"], *(made["id"] for made in known)}):
            digest, stored = _stream(store, tool, told, one, parent, work, told_far)
        one |= {"sha256": digest, "stored": stored, **tool.notes(work)}
    finally:
        shutil.rmtree(work, ignore_errors=True)
    one["ended"] = time.time()
    store.put(f"{folder(told)}/{one['id']}/{MANIFEST}", json.dumps(one).encode() + b"\n")
    return one


def _stream(
    store: Any, tool: Any, told: dict[str, Any], one: dict[str, Any], parent: dict[str, Any] | None, work: Path,
    told_far: Path,
) -> tuple[str, int]:  # fmt: skip
    """Digest and length of what was stored, before it was encrypted."""
    from ccx_agent import notes
    from ccx_agent.mariadb_store import WIDE, end, finish, pour

    size, total = one["size"], one["size"] * tool.passes

    def tell(done: int) -> None:
        notes.write(told_far, {"done": min(done, total), "total": total})

    tool.begin(told, size, work, lambda done: tell(min(done, size)))
    digest, stored, at = hashlib.sha256(), 0, 0.0
    upload = store.upload(f"{folder(told)}/{data_of(one)}", int(size * _KNOWN_MARGIN))
    with (work / "said").open("wb") as said:
        copying = subprocess.Popen(
            tool.command(told, parent, work), stdout=subprocess.PIPE, stderr=said, cwd="/", pipesize=WIDE
        )
    packing = subprocess.Popen(
        ["zstd", "-q", "-1", "-T2", "-c"], stdin=copying.stdout, stdout=subprocess.PIPE, cwd="/", pipesize=WIDE
    )
    assert copying.stdout is not None
    assert packing.stdout is not None
    copying.stdout.close()

    def each(piece: bytes) -> None:
        nonlocal stored, at
        digest.update(piece)
        stored += len(piece)
        if time.monotonic() - at > _TELL_EVERY_S:
            at = time.monotonic()
            tell(total - size + min(read_by(copying.pid), size))

    whole = False
    try:
        with packing.stdout:
            taken = pour(packing.stdout, upload, each)
        whole = taken and packing.wait() == 0 and copying.wait() == 0
        if taken and not whole:
            raise NoBackup(_last(work / "said") or f"{tool.name} failed without a word")
    finally:
        if not whole:
            copying.kill()
            if upload.poll() is None:
                end(upload)
        copying.wait()
        packing.wait()
    finish(upload)
    tell(total)
    return digest.hexdigest(), stored


def _apart(told: dict[str, Any]) -> AbstractContextManager[None]:
    """Meanwhile nobody waits for this node, where it is a member of a group that else would."""
    from ccx_agent.galera_apart import apart

    return apart(told["socket"], Path(told["apart"])) if told.get("apart") else nullcontext()


@contextmanager
def _tidying(store: Any, told: dict[str, Any], kept: set[str]) -> Iterator[None]:
    """Meanwhile removes what a backup left behind that was never finished. No other one runs: they take turns."""
    from ccx_agent.mariadb_store import StoreFailed

    def tidy() -> None:
        with suppress(StoreFailed):  # the next one removes it
            there = store.names(folder(told))
            store.delete(folder(told), [name for name in there if name.split("/", 1)[0] not in kept])

    beside = threading.Thread(target=tidy)
    beside.start()
    try:
        yield
    finally:
        beside.join()


def _lineage(data: Path) -> str:
    """Of this copy of the data: another one, made of it or of which it was made, has another."""
    from ccx_agent.durable import replace

    noted = data / "ccx-lineage"
    if not noted.exists() or not noted.read_text().strip():  # one that is empty would be the same on every node
        replace(noted, secrets.token_hex(8).encode(), mode=0o600, uid=os.getuid(), gid=os.getgid())
    return noted.read_text().strip()


def _size(data: Path) -> int:
    """Bytes of the database on disk."""
    size = 0
    for at, _, names in os.walk(data):
        for name in names:
            with suppress(FileNotFoundError):  # its table was dropped just now
                size += os.lstat(Path(at) / name).st_blocks * 512
    return size


def read_by(process: int) -> int:
    """Bytes, from wherever; 0 where it has ended."""
    try:
        found = re.search(r"rchar: (\d+)", Path(f"/proc/{process}/io").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _last(said: Path) -> str:
    lines = [line for line in said.read_text(errors="replace").splitlines() if line.strip()]
    blamed = [line for line in lines if "rror" in line or "failed" in line]
    return (blamed or lines or [""])[-1][-500:]


def main(path: str, name: str, kind: str) -> int:
    from ccx_agent.copying import NoCopy
    from ccx_agent.mariadb_store import StoreFailed
    from ccx_agent.mysql_wire import ServerRefused, ServerSilent

    told = json.loads(Path(path).read_text())
    try:
        made = make(told, name, kind, Path(told["work"]) / f"far-{name}")
    except (NoBackup, NoCopy, StoreFailed, ServerRefused, ServerSilent) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    (Path(told["work"]) / f"made-{name}").write_text(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main(*sys.argv[1:]))
