"""systemd services: enable, start, stop, restart, reload; and what state they are in."""

from __future__ import annotations

from .errors import AgentError
from .process import output
from .verb import Args, Progress, Verb, flag, texts


def services(args: Args, _progress: Progress) -> dict[str, object]:
    """``enable``, ``disable``, ``stop``, ``start``, ``restart``, ``reload``: lists of units, done in this order.

    Each action names all its units to systemd at once, which starts them in their own order. Returns when they run;
    with ``wait: false`` when systemd has accepted the order.
    """
    lists = {action: texts(args, action) for action in ("enable", "disable", "stop", "start", "restart", "reload")}
    units = sorted({unit for listed in lists.values() for unit in listed})
    if not units:
        raise AgentError("no unit is named")
    for unit in units:
        if not unit.startswith("ccx-"):
            raise AgentError(f"{unit} is not a unit of the control plane's", "its units begin with ccx-")
    if any(state["reload"] for state in _states(units).values()):
        output(["systemctl", "daemon-reload"])
    no_block = ["--no-block"] if "wait" in args and not flag(args, "wait") else []
    for action, listed in lists.items():
        if listed and action in ("enable", "disable"):
            # Symbolic links only: what it would reload is what systemd reads by itself when it starts the unit.
            output(["systemctl", "--no-reload", action, *listed])
        elif listed:
            output(["systemctl", *no_block, action, *listed])
    return {"states": {unit: state["active"] for unit, state in _states(units).items()}}


def services_state(args: Args, _progress: Progress) -> dict[str, object]:
    """``units``: answers ``active``, ``inactive``, ``failed`` … for each."""
    return {"states": {unit: state["active"] for unit, state in _states(texts(args, "units")).items()}}


def _states(units: list[str]) -> dict[str, dict[str, str]]:
    if not units:
        return {}
    blocks = output(["systemctl", "show", "-p", "ActiveState,NeedDaemonReload", *units]).strip().split("\n\n")
    states = {}
    for unit, block in zip(units, blocks, strict=True):
        found = dict(line.split("=", 1) for line in block.splitlines())
        reload = "yes" if found.get("NeedDaemonReload") == "yes" else ""
        states[unit] = {"active": found.get("ActiveState", "unknown"), "reload": reload}
    return states


VERBS = {"services": Verb(services, mutates=True), "services-state": Verb(services_state, mutates=False)}
