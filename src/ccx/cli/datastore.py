"""``ccx datastore``: from create to delete."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from cyclopts import App, Parameter

from ccx.cli import bootstrap, confirming, output, progress, reads, resolve
from ccx.cli.confirming import Yes
from ccx.cli.connection import Format, Role
from ccx.cli.options import DEFAULT, Common, Output
from ccx.errors import Invalid

app = App(name="datastore", help="Create, see, connect to, change and delete datastores.", help_epilogue="")

_CLUSTER = "/prov/api/v2/cluster"

Wanted = Annotated[str, Parameter(help="Name, uuid, or the first 4 or more characters of the uuid.")]
Wait = Annotated[bool, Parameter(help="Wait for the end and show each step, or return at once.")]
Timeout = Annotated[float | None, Parameter(help="Seconds to wait at most; else until it ends.")]

_COLUMNS: list[output.Column] = [
    ("NAME", "cluster_name"),
    ("UUID", "uuid"),
    ("STATUS", "cluster_status"),
    ("DATABASE", lambda s: f"{s['database_vendor']} {s['database_version']}"),
    ("NODES", "cluster_size"),
    ("SIZE", "instance_size"),
    ("DISK", lambda s: f"{s['disk_size']} GiB"),
    ("WHERE", lambda s: f"{s['cloud_provider']}/{(s.get('region') or {}).get('code', '')}"),
    ("TAGS", "tags"),
]


def _proof(what: str, otherwise: str = "") -> Callable[[Mapping[str, Any]], str]:
    """A time of what is proved of the backups, or what there is instead."""

    def shown(store: Mapping[str, Any]) -> str:
        at = (store.get("backup_proof") or {}).get(what)
        return output.age(at) if at else otherwise

    return shown


_FIELDS: list[output.Column] = [
    ("name", "cluster_name"),
    ("uuid", "uuid"),
    ("status", "cluster_status"),
    ("reason", "cluster_status_text"),
    ("database", lambda s: f"{s['database_vendor']} {s['database_version']}"),
    ("topology", lambda s: s.get("cluster_type_name") or s["cluster_type"]),
    ("nodes", "cluster_size"),
    ("size", "instance_size"),
    ("sized", lambda s: ", ".join(f"{name} {value}" for name, value in (s.get("size_parameters") or {}).items())),
    ("disk", lambda s: f"{s['disk_size']} GiB {s.get('disk_type') or ''}".rstrip()),
    ("where", lambda s: f"{s['cloud_provider']}/{(s.get('region') or {}).get('code', '')}"),
    ("primary", "primary_url"),
    ("replicas", "replica_url"),
    ("tags", "tags"),
    ("created", lambda s: output.age(s.get("created_at"))),
    ("backup", _proof("newest_at", "never: ccx backup create")),
    ("proved", _proof("proved_at", "never: ccx backup drill")),
    ("archived", _proof("recovery_point")),
    ("job", lambda s: _running(s.get("current_job"))),
]


def _running(job: Mapping[str, Any] | None) -> str:
    return f"{job.get('command', '')} {job.get('progress', 0)}%" if job else ""


@app.command(name="list")
def list_(
    *,
    tag: Annotated[
        list[str] | None, Parameter(negative=(), help="Only those with this tag; several: with all.")
    ] = None,
    common: Common = DEFAULT,
) -> None:
    """List your datastores.

    Try:
      ccx datastore list
      ccx datastore list --tag production --output json
    """
    with common.api() as api:
        found = [s for s in resolve.every(api) if set(tag or ()) <= set(s.get("tags") or ())]
    for store in found:
        _without_password(store)
    output.rows(found, _COLUMNS, common.output, empty="No datastores. Create one: ccx datastore create NAME")


@app.command
def show(datastore: Wanted, /, *, common: Common = DEFAULT) -> None:
    """Show a datastore: its state and why, where it is, and how it is called.

    Try:
      ccx datastore show orders
      ccx datastore show 0197f3 --output yaml
    """
    with common.api() as api:
        found = resolve.datastore(api, datastore)
    _without_password(found)
    output.record(found, _FIELDS, common.output)


@app.command
def create(
    name: Annotated[str, Parameter(help="At most 63 characters; unique among yours.")],
    /,
    *,
    vendor: Annotated[str, Parameter(help="Database vendor.")] = "postgres",
    version: Annotated[str, Parameter(help="Version; else the newest on offer.")] = "",
    type: Annotated[str, Parameter(help="Topology; else the vendor's default.")] = "",
    nodes: Annotated[
        int, Parameter(help="1: not highly available; 2: no automatic failover; 3: highly available.")
    ] = 3,
    size: Annotated[str, Parameter(help="Instance size; else the smallest on offer.")] = "",
    volume_size: Annotated[int | None, Parameter(help="GiB for each node; else the volume type's default.")] = None,
    volume_type: Annotated[str, Parameter(help="Volume type; else the first on offer.")] = "",
    cloud: Annotated[str, Parameter(help="Cloud; else the first on offer.")] = "",
    region: Annotated[str, Parameter(help="Region; else the cloud's first.")] = "",
    allow: Annotated[
        list[str] | None, Parameter(negative=(), help="Address or CIDR that may connect; several times for several.")
    ] = None,
    tag: Annotated[list[str] | None, Parameter(negative=(), help="Tag; several times for several.")] = None,
    wait: Wait = True,
    timeout: Timeout = None,
    common: Common = DEFAULT,
) -> None:
    """Create a datastore. Nobody can reach it but from what --allow names.

    Try:
      ccx datastore create orders --allow 192.0.2.0/24
      ccx datastore create orders --nodes 3 --size small --volume-size 80 --tag production
      ccx datastore create scratch --nodes 1 --no-wait --output json
    """
    from ccx.cli import sources, wizard

    rules = sources.allowed(allow)
    with common.api() as api:
        body = wizard.request(
            api.get(wizard.PATH), name=name, vendor=vendor, version=version, type=type, nodes=nodes, size=size,
            volume_size=volume_size, volume_type=volume_type, cloud=cloud, region=region, tags=tag or [],
        )  # fmt: skip
        uuid = api.post_once(_CLUSTER, body)["uuid"]
        output.say(f"{name} is {uuid}")
        for rule in rules:
            api.post(f"/firewall/api/v1/firewall/{uuid}", {"source": rule, "description": ""})
        if wait:
            output.say("Waiting until it is STARTED; it goes on without this command too.")
            _follow(api, uuid, "JOB_TYPE_DEPLOY_DATASTORE", timeout)
        found = api.get(f"{resolve.STORES}/{uuid}")
    _without_password(found)
    output.record(found, _FIELDS, common.output)


@app.command
def delete(
    datastore: Wanted,
    /,
    *,
    yes: Yes = False,
    delete_backups: Annotated[
        bool, Parameter(negative=(), help="Its backups too; without, they stay for their retention.")
    ] = False,
    confirm: Annotated[str, Parameter(help="With --delete-backups: its name, instead of being asked for it.")] = "",
    wait: Wait = True,
    timeout: Timeout = None,
    common: Common = DEFAULT,
) -> None:
    """Delete a datastore and all its data. Works in any state, also in the middle of its creation.

    Try:
      ccx datastore delete orders
      ccx datastore delete orders --yes --no-wait
      ccx datastore delete orders --delete-backups --confirm orders
    """
    with common.api() as api:
        found = resolve.datastore(api, datastore)
        uuid, name = found["uuid"], found["cluster_name"]
        doomed: dict[str, str | int] = {}
        if delete_backups:
            from ccx.cli import backup_proof

            lost = [f"This deletes {name} and all its data.", backup_proof.destroyed(api, uuid)]
            doomed = {"delete_backups": "true", "confirm": confirm or backup_proof.asked(name, lost)}
        elif not yes:
            confirming.confirm("datastore", name)
        api.call("DELETE", f"{_CLUSTER}/{uuid}", params=doomed)
        if wait:
            _follow(api, uuid, "JOB_TYPE_DESTROY_DATASTORE", timeout, gone_is_done=True)
    told = {"uuid": uuid, "cluster_name": name, "cluster_status": "DELETED" if wait else "DELETING"}
    output.done(f"{name} is {'deleted' if wait else 'being deleted'}", told, common.output)


@app.command
def rename(datastore: Wanted, name: str, /, *, common: Common = DEFAULT) -> None:
    """Give a datastore another name. Its DNS names stay.

    Try:
      ccx datastore rename orders orders-2026
    """
    _change(datastore, {"cluster_name": name}, common)


@app.command
def tag(
    datastore: Wanted,
    tags: Annotated[list[str] | None, Parameter(negative=(), help="The tags it has from now on.")] = None,
    /,
    *,
    clear: Annotated[bool, Parameter(negative=(), help="Remove all tags.")] = False,
    common: Common = DEFAULT,
) -> None:
    """Replace a datastore's tags.

    Try:
      ccx datastore tag orders production team-a
      ccx datastore tag orders --clear
    """
    if bool(tags) == clear:
        raise Invalid("give tags, or --clear, and not both", field="tags", remedy="See: ccx datastore tag --help")
    _change(datastore, {"tags": tags or []}, common)


@app.command
def rotate_certificates(
    datastore: Wanted,
    /,
    *,
    wait: Wait = True,
    timeout: Timeout = None,
    common: Common = DEFAULT,
) -> None:
    """Give all nodes of a datastore new certificates, while it serves. It happens by itself before they expire.

    The datastore's CA stays the same: clients need nothing new.

    Try:
      ccx datastore rotate-certificates orders
    """
    with common.api() as api:
        uuid = resolve.identity(api, datastore)
        job = api.post(f"{_CLUSTER}/{uuid}/certificates")
        if wait:
            progress.follow(api, f"{progress.jobs_of(uuid)}/{job['job_id']}", timeout=timeout)
    output.record(job, [("job", "job_id")], common.output)


@app.command
def url(
    datastore: Wanted,
    /,
    *,
    role: Annotated[Role, Parameter(help="The node to end up on.")] = Role.PRIMARY,
    format: Annotated[
        Format, Parameter(help="A URL, the client's own way (keyword: for psql, or a file of options), or for a shell.")
    ] = Format.URI,
    common: Common = DEFAULT,
) -> None:
    """Print a connection string that works as pasted. It holds the password.

    The datastore's CA is kept in ~/.config/ccx/ca, where the string points at.

    Try:
      psql "$(ccx datastore url orders)"
      ccx datastore url orders --role replica --format keyword
      eval "$(ccx datastore url orders --format env)"
      mariadb --defaults-file=<(ccx datastore url shop --format keyword)
    """
    from ccx.cli import speaking

    speaker, parameters = speaking.reach(common, datastore, role)
    text = speaker.written(parameters, format)
    if common.output is Output.TABLE:
        sys.stdout.write(text + "\n")
    else:
        output.document({"url": text, "parameters": parameters}, common.output)


@app.command
def connect(
    datastore: Wanted,
    arguments: Annotated[
        list[str] | None, Parameter(allow_leading_hyphen=True, negative=(), help="For the client, behind --.")
    ] = None,
    /,
    *,
    role: Annotated[Role, Parameter(help="The node to end up on.")] = Role.PRIMARY,
    context: Annotated[str | None, Parameter(help="Control plane to ask, by its context's name.")] = None,
) -> int:
    """Open the database's own client (psql, mariadb) on a datastore, TLS verified against its own CA.

    Try:
      ccx datastore connect orders
      ccx datastore connect orders --role replica
      ccx datastore connect orders -- --tuples-only --command 'select version()'
      ccx datastore connect shop -- --batch --execute 'select version()'
    """
    from ccx.cli import speaking

    speaker, parameters = speaking.reach(Common(context=context), datastore, role)
    return speaker.run(parameters, arguments or [])


def _follow(api: Any, uuid: str, kind: str, timeout: float | None, *, gone_is_done: bool = False) -> None:
    jobs = progress.jobs_of(uuid)
    job = progress.newest(api.get(jobs, limit=10, offset=0)["jobs"], kind)
    progress.follow(api, f"{jobs}/{job['job_id']}", timeout=timeout, gone_is_done=gone_is_done)


def _change(datastore: str, body: Mapping[str, Any], common: Common) -> None:
    with common.api() as api:
        uuid = resolve.identity(api, datastore)
        api.patch(f"{_CLUSTER}/{uuid}", body)
        found = api.get(f"{resolve.STORES}/{uuid}")
    _without_password(found)
    output.record(found, _FIELDS, common.output)


def _without_password(store: Any) -> None:
    """Passwords are shown by ``url`` only, which is asked for on purpose."""
    if isinstance(account := store.get("db_account"), dict):
        account.pop("database_password", None)


app.command(bootstrap.bootstrap)
app.command(reads.reads)
