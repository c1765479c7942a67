"""The documentation's page of vendors, from what the engines declare. ``python -m ccx.cmon.engines.page`` prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ccx.cmon.engines import get
from ccx.cmon.engines.base import BakesSome, Engine, Port
from ccx.errors import Invalid
from ccx.settings import Database, Paths, Settings, TypeOfCluster
from ccx.settings.vendors import NAMED, OFFERS

_MOST_NODES = 9
_SIZES = {"1 CPU, 1 GiB": (1024, 1), "4 CPUs, 16 GiB": (16 * 1024, 4)}

_INTRODUCTION = """# Vendors, versions, topologies and what they promise

Made by `python -m ccx.cmon.engines.page > docs/operate/vendors.md` from what the engines declare: the same words that
orders are checked by and the deploy wizard shows. `databases` in `ccx.yaml` names the vendors on offer, by code or with
versions, counts and topologies of your own choice: `[postgres, {code: mariadb, versions: ["10.11", "11.8"]}]`.
"""


def page() -> str:
    """``docs/operate/vendors.md``."""
    settings = Settings(paths=Paths.of("default"))
    made = [
        (offer, kind, get(code, settings, kind.code))
        for code, offer in sorted(OFFERS.items())
        for kind in (*offer.types, *NAMED.get(code, ()))
    ]
    return "\n".join((_INTRODUCTION, *_table(_summary(made)), "", *(line for one in made for line in _chapter(*one))))


def _summary(made: Iterable[tuple[Database, TypeOfCluster, Engine]]) -> Iterable[Mapping[str, str]]:
    for offer, kind, engine in made:
        yield {
            "vendor": f"{offer.name} (`{offer.code}`)",
            "topology": f"`{kind.code}`{_offered(offer, kind)}",
            "versions": ", ".join(_versions(engine)),
            "nodes": ", ".join(str(size) for size in _promises(engine)),
            "clients": f"`{engine.speaks}://`, port {', '.join(str(p.number) for p in engine.ports if p.clients)}",
        }


def _offered(offer: Database, kind: TypeOfCluster) -> str:
    if kind not in offer.types:
        return ", where settings name it"
    return ", the usual one" if kind == offer.types[0] else ""


def _chapter(offer: Database, kind: TypeOfCluster, engine: Engine) -> Iterable[str]:
    yield f"\n## {offer.name}, {kind.name}\n"
    yield from _table({"nodes": str(size), "what they give": told} for size, told in _promises(engine).items())
    held = ", ".join(engine.baked) or "none" if isinstance(engine, BakesSome) else "all of them"
    if kind in offer.types:
        yield f"\nVersions on offer where settings name only `{offer.code}`: {', '.join(offer.versions)}."
    else:
        types = f"[{{code: {kind.code}, name: {kind.name}}}]"
        entry = f"{{code: {offer.code}, num_nodes: {[*_promises(engine)]}, types: {types}}}"
        yield f"\nOn offer only where settings name the topology: `databases: [{entry}]`."
    yield f"The local cloud's image of it, `{engine.image}`, holds: {held}. Stock images install what is ordered.\n"
    yield from _table(
        {"versions": ", ".join(proof.versions), "seen": proof.seen, "by": ", ".join(map(_link, proof.tests))}
        for proof in engine.proofs
    )
    yield "\nWho reaches a node, besides SSH from the control plane:\n"
    yield from _table({"port": str(p.number), "what": p.purpose, "from": _who(p)} for p in engine.ports)
    yield "\nWhat its size comes to (`ccx datastore show` has a datastore's own):\n"
    sizes = {name: engine.parameters(*size) for name, size in _SIZES.items()}
    first = next(iter(sizes.values()))
    yield from _table({"parameter": f"`{name}`", **{size: sizes[size][name] for size in sizes}} for name in first)


def _versions(engine: Engine) -> list[str]:
    known = {version for proof in engine.proofs for version in proof.versions}
    return sorted(known, key=lambda version: [int(part) for part in version.split(".")])


def _promises(engine: Engine) -> dict[int, str]:
    found = {}
    for size in range(1, _MOST_NODES + 1):
        try:
            found[size] = engine.promise(size).removeprefix(f"{size}: ")
        except Invalid:
            continue
    return found


def _who(port: Port) -> str:
    who = {"clients, from allowed sources": port.clients, "peers": port.peers, "control plane": port.control}
    return ", ".join(name for name, may in who.items() if may)


def _link(test: str) -> str:
    return f"[{Path(test).name}](../../tests/{test})"


def _table(rows: Iterable[Mapping[str, str]]) -> Iterable[str]:
    found = list(rows)
    if not found:
        return
    yield f"| {' | '.join(found[0])} |"
    yield "|" + "---|" * len(found[0])
    for row in found:
        yield f"| {' | '.join(row.values())} |"


if __name__ == "__main__":
    sys.stdout.write(page())
