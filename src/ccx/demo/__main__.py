"""``python -m ccx.demo``: what ``script/demo`` runs once everything is installed."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from dns.exception import DNSException
from rich.markup import escape

from ccx.demo import play
from ccx.demo.choice import USUAL, choose
from ccx.demo.stage import CCX, INSTANCE, NAME, Stage, Unexpected
from ccx.errors import CcxError, Invalid
from ccx.settings import Paths

HOME = Path("/var/lib/ccx/demo-client")
"""Where the demonstration's ``ccx`` keeps its contexts: the person's own stay as they are."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="script/demo", description="The main job of CCX, on this machine, with real parts."
    )
    parser.add_argument(
        "--restore", action="store_true", help="lose a table, a datastore and the control plane, and bring them back"
    )
    parser.add_argument("--vendor", default=USUAL, help=f"whose database (else {USUAL})")
    parser.add_argument("--topology", default="", help="how its nodes work together, else as the vendor's usually do")
    parser.add_argument("--keep", action="store_true", help="leave everything running, and say how to use it")
    parser.add_argument("--down", action="store_true", help="remove everything that the demonstration made")
    options = parser.parse_args()
    try:
        choice = choose(options.vendor, options.topology)
    except Invalid as refusal:
        parser.error(f"{refusal.field}: {refusal.err}. {refusal.remedy}")
    if options.down:
        return down()
    # A former run, kept or crashed, is in the way; nothing of it is worth keeping.
    if down(quiet=True) != 0:
        return 1
    HOME.mkdir(mode=0o700, parents=True)
    stage = Stage(HOME)
    failures: tuple[type[Exception], ...] = (
        Unexpected, TimeoutError, *choice.client.errors, DNSException, CcxError,
    )  # fmt: skip
    try:
        if options.restore:
            play.restores(stage, choice)
        else:
            play.main_job(stage, choice, keep=options.keep)
    except failures as failure:
        stage.console.print(
            f"\n[bold red]script/demo: this was expected, and is not so: {escape(str(failure))}[/bold red]"
        )
        stage.console.print(f"   Logs: {Paths.of(INSTANCE).var / 'log'}. Remove everything: script/demo --down")
        return 1
    stage.table()
    if options.keep:
        stage.console.print(
            f"\nIt runs on. Use it:\n   export XDG_CONFIG_HOME={HOME}\n   {CCX} datastore connect {NAME}"
        )
        stage.console.print(f"   {CCX} datastore url {NAME}\n   script/demo --down      removes everything")
        return 0
    stage.console.print("\nTry next: script/demo --keep, then ccx datastore connect orders; ccx --help")
    return down(quiet=True)


def down(*, quiet: bool = False) -> int:
    """Removes every process, mount, namespace, volume and address of the demonstration, in whatever state it is."""
    ran = subprocess.run([CCX, "down", "--purge", "--instance", INSTANCE], capture_output=quiet, text=True, check=False)
    shutil.rmtree(HOME, ignore_errors=True)
    if ran.returncode != 0 and quiet:
        sys.stderr.write(ran.stderr)
    return ran.returncode


if __name__ == "__main__":
    raise SystemExit(main())
