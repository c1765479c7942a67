"""Reads what is in the store against its checksums: ``python3 -I mariadb_verify.py CONFIGURATION NAME [BACKUP]``.

What it found is in a file of the work folder. Damage is no failure: it is what was asked for.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_DONE_EVERY_S = 1.0


def verify(told: dict[str, Any], backup: str | None, told_far: Path) -> dict[str, Any]:
    """``checked`` and ``damaged`` backups, damaged parts of the ``log``, and ``until`` when the log behind each goes.

    With a ``backup``, that one and those that it builds on; else everything, and the log.
    """
    from ccx_agent.copying import ends_behind
    from ccx_agent.log_parts import gap, route
    from ccx_agent.mariadb_copy import data_of, folder, manifests
    from ccx_agent.mariadb_store import Store

    store = Store(told)
    known = manifests(store, told)
    wanted = known if backup is None else _ancestry(known, backup)
    checked = [one["id"] for one in wanted]
    damaged: dict[str, str] = {one["id"]: one["damaged"] for one in wanted if "damaged" in one}
    known, wanted = ([one for one in some if "damaged" not in one] for some in (known, wanted))
    there = set(store.names(folder(told)))
    far = _Far(told_far, sum(one["stored"] for one in wanted))
    for one in wanted:
        name = data_of(one)
        why = "is missing"
        if name in there:
            why = _wrong(store, f"{folder(told)}/{name}", one["sha256"], far)
        if why:
            damaged[one["id"]] = f"{name} {why}"
    found: dict[str, Any] = {
        "checked": checked, "damaged": damaged, "log": {}, "until": {},
    }  # fmt: skip
    if backup is not None or not known:
        return found
    parts = _parts(store, told)
    # What each of them needs: behind a gap, the log is of use to those that were made after it.
    needed = {piece.part: None for one in known for piece in route(parts, ends_behind(one))}
    bad = {}
    for part in needed:
        if why := _wrong(store, f"archive/{told['archive']}/{part.name}", part.digest, far, packed=True):
            bad[part] = why
    good = [part for part in parts if part not in bad]
    for one in known:
        after = ends_behind(one)
        if gap(parts, after) or any(piece.part in bad for piece in route(parts, after)):
            reached = route(good, after)
            found["until"][one["id"]] = reached[-1].part.until - 1 if reached else one["ended"]
    found["log"] = {part.name: f"archive/{told['archive']}/{part.name} {why}" for part, why in bad.items()}
    return found


def _ancestry(known: list[dict[str, Any]], backup: str) -> list[dict[str, Any]]:
    by_id = {one["id"]: one for one in known}
    found, following = [], backup
    while following in by_id:
        found.append(by_id[following])
        following = by_id[following]["parent"]
    return found


def _parts(store: Any, told: dict[str, Any]) -> list[Any]:
    from ccx_agent.log_parts import parse
    from ccx_agent.mariadb_ship import plain

    named = (parse(plain(name)) for name in store.names(f"archive/{told['archive']}"))
    return [part for part in named if part is not None]


def _wrong(store: Any, name: str, digest: str, far: _Far, *, packed: bool = False) -> str:
    """What is wrong with the object; empty: nothing. ``packed``: the digest is of what was packed."""
    from ccx_agent.mariadb_store import Damaged, finish

    summed = hashlib.sha256()
    download = store.download(name)
    assert download.stdout is not None
    opening = None
    source = download.stdout
    if packed:
        opening = subprocess.Popen(
            ["zstd", "-q", "-d", "-c"], stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/"
        )
        assert opening.stdout is not None
        download.stdout.close()
        source = opening.stdout
    while piece := source.read(1 << 20):
        summed.update(piece)
        far.more(0 if packed else len(piece))
    if opening is not None:
        opening.wait()
    try:
        finish(download)
    except Damaged:
        return "can't be decrypted: it is not what was stored"
    return "" if summed.hexdigest().startswith(digest) else "has another checksum than when it was written"


class _Far:
    def __init__(self, told_far: Path, total: int) -> None:
        self._told_far, self._total, self._done, self._at = told_far, total, 0, 0.0

    def more(self, read: int) -> None:
        from ccx_agent import notes

        self._done += read
        if time.monotonic() - self._at > _DONE_EVERY_S:
            self._at = time.monotonic()
            notes.write(self._told_far, {"done": self._done, "total": self._total})


def main(path: str, name: str, backup: str | None = None) -> int:
    from ccx_agent.mariadb_store import StoreFailed

    told = json.loads(Path(path).read_text())
    work = Path(told["work"])
    try:
        found = verify(told, backup, work / f"far-verify-{name}")
    except StoreFailed as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    (work / f"verified-{name}").write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main(*sys.argv[1:]))
