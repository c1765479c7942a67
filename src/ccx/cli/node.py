"""``ccx node``: the nodes of a datastore."""

from __future__ import annotations

from cyclopts import App

from ccx.cli import output, resolve
from ccx.cli.datastore import Wanted
from ccx.cli.options import DEFAULT, Common

app = App(name="node", help="The nodes of a datastore.", help_epilogue="")


@app.command(name="list")
def list_(datastore: Wanted, /, *, common: Common = DEFAULT) -> None:
    """List a datastore's nodes with their roles and addresses.

    Try:
      ccx node list orders
    """
    with common.api() as api:
        uuid = resolve.identity(api, datastore)
        nodes = api.get(f"/deployment/v2/data-stores/{uuid}/nodes").get("database_nodes") or []
    # A column only where there is something to see.
    errant: list[output.Column] = [("KEPT APART", "errant")] if any(n.get("errant") for n in nodes) else []
    output.rows(
        nodes,
        [
            ("NODE", lambda n: n.get("label") or n.get("hostname")),
            ("ROLE", "role"),
            ("STATUS", "host_status"),
            ("COPY", lambda n: "synchronous" if n.get("synchronous") else ""),
            ("LAG", lambda n: "" if n.get("lag_bytes") is None else output.size(n["lag_bytes"])),
            ("ADDRESS", lambda n: n.get("private_ip") or n.get("public_ip")),
            ("PORT", "port"),
            ("ZONE", "host_az"),
            ("SIZE", "instance_type"),
            ("HOST NAME", "hostname"),
            *errant,
        ],
        common.output,
        empty="It has no nodes yet.",
    )
