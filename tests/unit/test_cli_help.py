"""Help, completion and the reference page: true, complete, and quick."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from ccx.cli import reference
from ccx.cli.app import build, run
from ccx.cli.exits import Exit

ROOT = Path(__file__).parents[2]
SUPERVISOR = ("up", "recover", "down", "status", "serve")

OVERVIEW = """\
Usage: ccx COMMAND

Databases as a service that live behind your firewall.
"""


def commands(app: App, *words: str) -> Iterator[tuple[str, ...]]:
    """Every command that can be run, as its words."""
    names = [name for name in app if not name.startswith("-")]
    if not names:
        yield words
    for name in names:
        yield from commands(app[name], *words, name)


ALL = sorted(commands(build()))
EVERY = [words for words in ALL if words[0] not in SUPERVISOR]


def test_the_overview_names_every_command_with_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == Exit.OK
    out = capsys.readouterr().out
    assert out.startswith(OVERVIEW)
    for name in {words[0] for words in EVERY} | set(SUPERVISOR):
        assert re.search(rf"^│ {name} +[A-Z]", out, re.MULTILINE), name
    assert "  130  interrupted" in out
    assert "CCX_BASE_URL" in out


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_has_help_with_an_example_of_itself(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--help"]) == Exit.OK
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: ccx {' '.join(words)}")
    assert "\nTry:\n" in out
    assert f"ccx {' '.join(words)}" in out.partition("\nTry:\n")[2]


EXAMPLES = re.findall(r"^\$ (ccx .*)$", reference.markdown(), re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_accepted_by_the_parser(example: str) -> None:
    import shlex

    words = shlex.split(re.split(r" [>|] ", example)[0])
    build().parse_args(words[1:], exit_on_error=False, print_error=False)


def test_every_command_that_asks_the_api_takes_output_and_context() -> None:
    alone = {("login",), ("logout",), ("completion",), ("context", "use"), ("context", "remove"),
             ("datastore", "connect"), ("network", "plan"), ("network", "explain"),
             ("network", "diff"), ("mirror", "plan"), ("mirror", "sync"), ("mirror", "verify")}  # fmt: skip
    for words in set(EVERY) - alone:
        command = build()
        for word in words:
            command = command[word]
        names = {name for argument in command.assemble_argument_collection() for name in argument.names}
        assert {"--output", "--context"} <= names, words


def test_the_reference_page_is_what_the_help_says() -> None:
    kept = (ROOT / "docs/operate/cli.md").read_text()
    assert kept == reference.markdown(), "run: python -m ccx.cli.reference > docs/operate/cli.md"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == Exit.OK
    script = capsys.readouterr().out
    for word in ("datastore", "firewall", "volume-size", "keyword"):
        assert word in script


def test_bash_completes_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["completion", "bash"])
    script = tmp_path / "ccx.bash"
    script.write_text(capsys.readouterr().out)
    ask = (
        f"source {script}; COMP_WORDS=(ccx datastore sh); COMP_CWORD=2; COMP_LINE='ccx datastore sh'; COMP_POINT=16; "
        "$(complete -p ccx | sed 's/.*-F \\([^ ]*\\).*/\\1/') ccx sh datastore; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    found = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, timeout=30)
    assert found.stdout.split() == ["show"]


def test_help_imports_nothing_that_only_commands_need() -> None:
    look = (
        "import sys; from ccx.cli.app import run; run(['--help'])\n"
        "heavy = {'httpx', 'pydantic', 'sqlalchemy', 'yaml', 'asyncio', 'psycopg', 'markdown_it'} & set(sys.modules)\n"
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said", "see"),
    [
        (["datastore", "frobnicate"], "frobnicate", "See: ccx datastore --help"),
        (["datastore", "create"], "NAME", "See: ccx datastore --help"),
        (["datastore", "create", "x", "--nodes", "three"], "three", "See: ccx datastore --help"),
        (["nonsense"], "nonsense", "See: ccx --help"),
        (["job", "list", "x", "--output", "xml"], "xml", "See: ccx job --help"),
    ],
)
def test_bad_usage_ends_with_2_and_says_where_help_is(
    arguments: list[str], said: str, see: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == Exit.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.splitlines()[-1] == see
