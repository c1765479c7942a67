"""``docs/operate/cli.md``, from the commands' own help: ``python -m ccx.cli.reference > docs/operate/cli.md``."""

from __future__ import annotations

import re

from ccx.cli.app import ENVIRONMENT, build
from ccx.cli.exits import MEANING

_HEAD = """\
# The `ccx` command

Generated from the commands' help; after a change of one: `python -m ccx.cli.reference > docs/operate/cli.md`.

`ccx` is a client of the API like any other, but for `up`, `recover`, `down`, `status` and `serve`, which run a control
plane on this machine, and for `network` and `mirror`, which read settings (of `network`, `observed` and `probe --from
data` ask the API). Results go to standard output and nothing else does: progress, questions and errors go to standard
error. `--output json` and `yaml` print what the API said; passwords and secrets are printed by the commands that exist
for it (`datastore url`, `user create`, `token create`) only.

A datastore is named by its name, its uuid, or the first four or more characters of the uuid.

An error is one line, `field: what is wrong. What to do about it`, and the exit code says of which kind it is:

"""

_TRY = re.compile(r"^Try:\n((?:\n|[ ]+.*\n)+)", re.MULTILINE)
_PROGRAM = re.compile(r"^(ccx [a-z -]+?) -m \S+", re.MULTILINE)
"""The generator puts how Python was started into the usage of nested commands."""
_UNTRUE = re.compile(r', --empty-[\w-]+| \*\[default: (?:""|False)\]\*')
"""Options that there are not, and defaults that mean "not given": the generator does not know the tree's own rules."""


def markdown() -> str:
    """The page."""
    codes = "| code | meaning |\n|---|---|\n" + "".join(
        f"| {code.value} | {text} |\n" for code, text in MEANING.items()
    )
    names = "| variable | meaning |\n|---|---|\n" + "".join(f"| `{k}` | {v} |\n" for k, v in ENVIRONMENT.items())
    commands = build().generate_docs("markdown", heading_level=1, usage_name="ccx")
    commands = commands[commands.index("## Table of Contents") :]
    before, _, after = commands.partition("**Commands**:")
    commands = before + after[after.index("\n## ") + 1 :]
    commands = _PROGRAM.sub(r"\1", commands)
    commands = _UNTRUE.sub("", commands.replace("## Table of Contents", "## Commands"))
    commands = _TRY.sub(_as_code, commands)
    return f"{_HEAD}{codes}\n{names}\n{commands.strip()}\n"


def _as_code(found: re.Match[str]) -> str:
    lines = [line.strip() for line in found[1].splitlines() if line.strip()]
    return "```console\n" + "".join(f"$ {line}\n" for line in lines) + "```\n\n"


if __name__ == "__main__":
    print(markdown(), end="")
