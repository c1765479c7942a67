"""``ccx context``: the control planes that a person works with."""

from __future__ import annotations

from cyclopts import App

from ccx.cli import contexts, output
from ccx.cli.options import DEFAULT, Common

app = App(name="context", help="The control planes that you work with.", help_epilogue="")


@app.command(name="list")
def list_(*, common: Common = DEFAULT) -> None:
    """List the control planes that you logged in to.

    Try:
      ccx context list
    """
    known = contexts.load()
    items = [
        {
            "name": name,
            "current": name == known.current,
            "url": context.url,
            "login": context.login,
            "logged_in": bool(context.session),
        }
        for name, context in known.contexts.items()
    ]
    output.rows(
        items,
        [("", lambda i: "*" if i["current"] else ""), ("NAME", "name"), ("URL", "url"), ("LOGIN", "login"),
         ("LOGGED IN", "logged_in")],
        common.output,
        empty="No control plane is known. Log in to one: ccx login --url URL",
    )  # fmt: skip


@app.command
def use(name: str, /) -> None:
    """Make a context the current one.

    Try:
      ccx context use production
    """
    contexts.save(contexts.load().using(name))
    output.say(f"{name} is current")


@app.command
def remove(name: str, /) -> None:
    """Forget a context, and its session with it.

    Try:
      ccx context remove laptop
    """
    contexts.save(contexts.load().without(name))
    output.say(f"{name} is forgotten")
