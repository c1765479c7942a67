"""Starts the server as a member of its Galera group: ``python3 -I galera_start.py CONFIGURATION``.

Who joins, who begins and who waits, the rules say, by what the others' keepers tell. A node without data gets them as
a copy from a member that accepts no writes, with its place in the history; what came since, Galera sends (IST). Where
that fails, Galera copies by itself (SST), which takes longer; and always where keepers give no copies.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

_PATIENCE = 20.0
"""Seconds for nodes that were not in the last group, before the others begin without them."""
_STARTS = 120.0
"""Seconds for a node that starts, before one that a person chose begins beside it."""
_POLL = 0.2
_TURN_S = 60.0
"""Seconds for a donor that gives another node a copy."""
_RECOVERED = re.compile(r"Recovered position:\s*([0-9a-f-]{36}):(-?\d+)")


def main(path: str) -> None:
    from ccx_agent.galera_peers import peer, reports
    from ccx_agent.galera_rules import Begin, begin, begin_chosen
    from ccx_agent.keeper_web import client_context

    told = json.loads(Path(path).read_text())
    waiting, forced = Path(told["waiting_file"]), Path(told["bootstrap_file"])
    own, began = _position(told), time.monotonic()
    while True:
        told = json.loads(Path(path).read_text())
        context = client_context(told["tls"])
        found = reports(told, context)
        peers, waited = {label: peer(report) for label, report in found.items()}, time.monotonic() - began
        start = begin(
            told["label"], own, tuple(told["nodes"]), peers, founding=_founding(told), patient=waited > _PATIENCE
        )
        if forced.exists() and (own.known or start.do is not Begin.WAIT):
            chosen = begin_chosen(start, peers, patient=waited > _STARTS)
            if chosen is None or chosen.do is Begin.BOOTSTRAP:
                # Good for one start: found by a later one, it would decide what nobody was asked about.
                forced.unlink()
            if chosen is not None and chosen.do is Begin.BOOTSTRAP:
                print(f"bootstrap: {chosen.why}", flush=True)
                return _bootstrap(told, _branched(own), waiting)
            start = chosen or start
        if start.do is Begin.WAIT:
            _wait(waiting, own, start.why)
            time.sleep(_POLL)
            continue
        print(f"{start.do.value}: {start.why}", flush=True)
        if start.do is Begin.BOOTSTRAP:
            return _bootstrap(told, own, waiting)
        return _join(told, own, found, context, waiting)


def _founding(told: dict[str, Any]) -> bool:
    from ccx_agent.labels import place

    first = min(told["nodes"], key=place)
    return not told["joining"] and told["label"] == first and not Path(told["view_file"]).exists()


def _position(told: dict[str, Any]) -> Any:
    """How far the data here go. A server that crashed knows it by looking at them."""
    from ccx_agent import notes
    from ccx_agent.galera_dialect import galera_dialect
    from ccx_agent.galera_rules import NOTHING, Position

    data = Path(told["data"])
    if not (data / "ibdata1").exists():
        return Position()
    history, seqno = _grastate(data)
    if seqno < 0:
        command = [told["server"], f"--defaults-file={told['server_file']}", *galera_dialect(told).recovers]
        command.append("--wsrep-cluster-address=gcomm://")  # it joins nobody, and wants to know all the same
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        recovered = _RECOVERED.search(done.stderr) or _RECOVERED.search(done.stdout)
        if history != NOTHING and recovered is None:
            why = f"how far the data go can't be told: {_complaint(done.stderr)}"
            _wait(Path(told["waiting_file"]), Position(), why)
            raise SystemExit(why)
        if recovered is not None and history != NOTHING:
            history, seqno = recovered[1], int(recovered[2])
    view = notes.read(Path(told["view_file"])) or {"view": [], "view_at": -1}
    return Position(history, seqno, tuple(view["view"]), view["view_at"])


def _wait(waiting: Path, own: Any, why: str) -> None:
    """Says to the others how far the data here go, as long as the server does not run."""
    from ccx_agent import notes

    notes.write(waiting, {**vars(own), "why": why})


def _complaint(said: str) -> str:
    errors = [line for line in said.splitlines() if "[ERROR]" in line and "Aborting" not in line]
    return errors[-1].split("[ERROR]", 1)[1].strip() if errors else said.strip()[-300:]


def _grastate(data: Path) -> tuple[str, int]:
    from ccx_agent.galera_rules import NOTHING

    try:
        lines = dict(line.split(":", 1) for line in (data / "grastate.dat").read_text().splitlines() if ":" in line)
        return lines["uuid"].strip(), int(lines["seqno"])
    except (OSError, KeyError, ValueError):
        return NOTHING, -1


def _write_grastate(data: Path, history: str, seqno: int, *, safe: bool) -> None:
    text = f"# GALERA saved state\nversion: 2.1\nuuid:    {history}\nseqno:   {seqno}\nsafe_to_bootstrap: {int(safe)}\n"
    path = data / "grastate.new"
    path.write_text(text)
    path.rename(data / "grastate.dat")


def _bootstrap(told: dict[str, Any], own: Any, waiting: Path) -> None:
    data = Path(told["data"])
    if own.known:
        _write_grastate(data, own.history, own.seqno, safe=True)
    else:
        fresh = Path(told["data"] + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(data, ignore_errors=True)
        _wait(waiting, own, "makes its first data")
        _make(told, fresh)
        fresh.rename(data)
    _become(told, waiting, ["--wsrep-new-cluster", *_from(own)])


def _make(told: dict[str, Any], fresh: Path) -> None:
    """A group's first data."""
    if told.get("speech", "mariadb") == "mariadb":
        from ccx_agent.mariadb_fresh import make

        make(fresh)
    else:
        from ccx_agent.mysql_fresh import LOCAL_USERS, initialise

        # It has no certificates yet, and nobody is there to whom it would send anything.
        initialise(told, fresh, LOCAL_USERS, ["--pxc-encrypt-cluster-traffic=OFF"])


def _branched(own: Any) -> Any:
    """The same data, in a history of its own from now on: who has more of the old one has what this one gave up.

    Such a node would else be sent what came since, and hold both.
    """
    return replace(own, history=str(uuid.uuid1()))


def _from(own: Any) -> list[str]:
    return [f"--wsrep-start-position={own.history}:{own.seqno}"] if own.known and own.seqno >= 0 else []


def _join(told: dict[str, Any], own: Any, found: dict[str, Any], context: ssl.SSLContext, waiting: Path) -> None:
    from ccx_agent.galera_rules import donors

    whom, only = donors(
        {label: (bool(r.get("serves")), "writer" if r.get("leader") == label else "") for label, r in found.items()}
    )
    follows = _follows(own, [report for report in found.values() if report.get("serves")])
    if not follows:
        if told["copy"]:
            _wait(waiting, own, f"copies the data of {whom[0]}")
            _seed(told, whom, context)
        else:
            # What is to be replaced is given up first: Galera's script keeps some of what it finds.
            shutil.rmtree(told["data"], ignore_errors=True)
        _keep_log(told)
        _go_on_with_log(told)
    Path(told["data"]).mkdir(mode=0o700, exist_ok=True)
    named = ",".join(whom) + ("," if only else "")
    _become(told, waiting, [f"--wsrep-sst-donor={named}", *(_from(own) if follows else [])])


def _follows(own: Any, serving: list[dict[str, Any]]) -> bool:
    """Whether what is here is the beginning of what the group has, so that the rest of it is all that is wanted."""
    of_group = {report.get("history") for report in serving}
    furthest = max((int(report.get("committed", -1)) for report in serving), default=-1)
    return own.known and of_group == {own.history} and own.seqno <= furthest


def _keep_log(told: dict[str, Any]) -> None:
    """What this node wrote before stays readable, apart: in the new log it would be of a history that is given up.

    It also stays when joining failed, and this is the next try, which finds no log.
    """
    kept, logs = Path(told["errant"]), Path(told["binlogs"])
    if any(logs.glob("binlog.*[0-9]")):
        shutil.rmtree(kept, ignore_errors=True)
        logs.rename(kept)
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(mode=0o700)


def _go_on_with_log(told: dict[str, Any]) -> None:
    """Has the new log begin behind what the copy has, as the donor's says; else it would number from the beginning."""
    from ccx_agent.mariadb_fresh import last_transaction

    if last := last_transaction(Path(told["data"])):
        (Path(told["binlogs"]) / "binlog.state").write_text("".join(f"{one.strip()}\n" for one in last.split(",")))


def _seed(told: dict[str, Any], whom: list[str], context: ssl.SSLContext) -> None:
    """A copy of a member's data, and where in the history they are. Without one, Galera makes its own."""
    from ccx_agent.mariadb_fresh import Busy, NoCopy, copy

    data, fresh = Path(told["data"]), Path(told["data"] + ".new")
    for label in whom:
        deadline = time.monotonic() + _TURN_S
        while time.monotonic() < deadline:
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o700)
            try:
                copy((told["nodes"][label], told["port"]), context, fresh, Path(told["progress_file"]))
                history, seqno = _place(fresh)
            except Busy:
                time.sleep(_POLL)
                continue
            except (OSError, ValueError, http.client.HTTPException, subprocess.CalledProcessError, NoCopy) as error:
                print(f"no copy of {label}: {type(error).__name__}: {error}", flush=True)
                break
            _write_grastate(fresh, history, seqno, safe=False)
            shutil.rmtree(data, ignore_errors=True)
            fresh.rename(data)
            return
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)


def _place(fresh: Path) -> tuple[str, int]:
    from ccx_agent.mariadb_fresh import noted

    said = noted(fresh, "galera")
    if not said:
        raise ValueError("the copy does not say where in the history it is")
    history, seqno = said.split()[0].rsplit(":", 1)
    return history, int(seqno)


def _become(told: dict[str, Any], waiting: Path, arguments: list[str]) -> None:
    """The server, in this very process."""
    waiting.unlink(missing_ok=True)
    addresses = ",".join(address for label, address in told["nodes"].items() if label != told["label"])
    command = [told["server"], f"--defaults-file={told['server_file']}", f"--wsrep-cluster-address=gcomm://{addresses}"]
    os.execv(command[0], [*command, *arguments])  # noqa: S606 - what the configuration names


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main(*sys.argv[1:])
