"""Runs the stages of ``script/test``, says where the time went, and leaves nothing running."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "test"
BIN = ROOT / ".venv" / "bin"
STATIC = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy"],
    "import floors": ["lint-imports"],
}
SUITES = {"unit": 300, "integration": 780, "e2e": 1080}
"""Seconds after which a suite has hung. On two quiet cores it takes about half of that."""
SLOW_FACTOR = 8
HALVES = {"integration": ("rest", "cli")}
"""Folders of a suite that run beside the rest of it, for there are two cores; each part has servers of its own."""


@dataclass
class Tally:
    """What the suites came to."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    times: list[tuple[str, float, str]] = field(default_factory=list)

    def add(self, report: Path) -> None:
        """Counts a JUnit report. One that was not written counts as a failure: the run broke off."""
        try:
            suites = ElementTree.parse(report).getroot().iter("testsuite")  # noqa: S314 - our own pytest wrote it
        except (OSError, ElementTree.ParseError):
            self.failed += 1
            return
        for suite in suites:
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            self.failed += bad
            self.skipped += skipped
            self.passed += int(suite.get("tests", 0)) - bad - skipped


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/test")
    parser.add_argument("stages", nargs="*", metavar="static|unit|integration|e2e", help="all of them by default")
    parser.add_argument("--all", action="store_true", help="the slow tests too")
    options = parser.parse_args()
    known = ["static", *SUITES]
    if unknown := [stage for stage in options.stages if stage not in known]:
        parser.error(f"no stage {unknown[0]!r}; there are {', '.join(known)}")
    stages = options.stages or known
    BUILD.mkdir(parents=True, exist_ok=True)
    tally = Tally()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    environment = {**os.environ, "CCX_TEST_PREFIX": f"t{os.getpid()}", "PYTHONDONTWRITEBYTECODE": "1"}
    environment["CCX_TEST_PROFILE"] = "explore" if options.all else "sample"
    try:
        good = [_stage(stage, tally, environment, slow=options.all) for stage in stages]
    except KeyboardInterrupt:
        print("script/test: interrupted", file=sys.stderr)
        return 130
    finally:
        _clean_up(environment["CCX_TEST_PREFIX"])
    _print_times(tally)
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped", flush=True)
    return 0 if all(good) and tally.passed + len(stages) > 0 and not tally.failed else 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _stage(stage: str, tally: Tally, environment: dict[str, str], *, slow: bool) -> bool:
    if stage == "static":
        return all(
            [_timed(name, [str(BIN / argv[0]), *argv[1:]], tally, environment, 300) for name, argv in STATIC.items()]
        )
    if not any((ROOT / "tests" / stage).glob("test_*.py")):
        return True
    if slow:
        return _resumable(stage, tally, environment)
    quick = ["-m", "not slow"]
    if stage not in HALVES:
        return _suite(stage, [f"tests/{stage}"], tally, environment, quick, SUITES[stage])
    folders = [f"tests/{stage}/{folder}" for folder in HALVES[stage]]
    rest = [f"tests/{stage}", *(f"--ignore={folder}" for folder in folders)]
    with _Beside(f"{stage}: {', '.join(HALVES[stage])}", folders, environment, quick, SUITES[stage]) as beside:
        good = _suite(f"{stage}: the rest", rest, tally, environment, quick, SUITES[stage])
    return beside.ended(tally) and good


def _suite(
    name: str, paths: list[str], tally: Tally, environment: dict[str, str], options: list[str], limit: float
) -> bool:
    argv, report = _pytest(name, paths, options)
    good = _timed(name, argv, tally, environment, limit, fine=(0, 5))
    if good and not report.exists():
        return True  # every test was deselected
    tally.add(report)
    return good


def _pytest(name: str, paths: list[str], options: list[str]) -> tuple[list[str], Path]:
    """The command, and the report that it will write."""
    report = BUILD / f"{re.sub('[^a-z0-9_]+', '-', name)}.xml"
    report.unlink(missing_ok=True)
    return [
        str(BIN / "python"), "-m", "pytest", "-q", "--durations=5", f"--junitxml={report}", *options, *paths
    ], report  # fmt: skip


class _Beside:
    """A suite that runs while another one does. What it prints is shown when it has ended, so that lines don't mix."""

    def __init__(self, name: str, paths: list[str], environment: dict[str, str], options: list[str], limit: float):
        self._name, self._limit = name, limit
        self._argv, self._report = _pytest(name, paths, options)
        self._printed = self._report.with_suffix(".txt")
        self._environment = environment
        self._outcome: tuple[float, str] = (0.0, "broken off")

    def __enter__(self) -> _Beside:
        self._stack = ExitStack()
        self._began = time.monotonic()
        output = self._stack.enter_context(self._printed.open("wb"))
        self._process = self._stack.enter_context(_group(self._argv, self._environment, output))
        return self

    def __exit__(self, *broken: object) -> None:
        with self._stack:
            if broken[0] is None:
                self._outcome = _wait(self._process, self._began, self._limit, (0, 5))

    def ended(self, tally: Tally) -> bool:
        print(f"==> {self._name}\n{self._printed.read_text(errors='replace')}", flush=True)
        seconds, outcome = self._outcome
        tally.times.append((self._name, seconds, outcome))
        tally.add(self._report)
        return outcome == "ok"


def _resumable(stage: str, tally: Tally, environment: dict[str, str]) -> bool:
    """File by file, unit tests all at once; what passed with exactly this tree is not run again."""
    memory = BUILD / "passed.json"
    tree = _tree()
    saved = json.loads(memory.read_text()) if memory.exists() else {}
    passed: dict[str, list[int]] = saved.get(tree, {})
    good = True
    folder = ROOT / "tests" / stage
    for part in [folder] if stage == "unit" else sorted(folder.rglob("test_*.py")):
        name = str(part.relative_to(ROOT / "tests").with_suffix(""))
        if name in passed:
            tally.passed += passed[name][0]
            tally.skipped += passed[name][1]
            print(f"==> {name}: passed before", flush=True)
            continue
        before = Tally(tally.passed, tally.failed, tally.skipped)
        ran = _suite(name, [str(part)], tally, environment, [], SUITES[stage] * SLOW_FACTOR)
        if ran and tally.failed == before.failed:
            passed[name] = [tally.passed - before.passed, tally.skipped - before.skipped]
            memory.write_text(json.dumps({tree: passed}))
        good = good and ran
    return good


def _tree() -> str:
    """Names the content of the work tree, changes that are not committed included."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changes = subprocess.run([*git, "diff", "--binary", "HEAD"], capture_output=True, check=True).stdout
    return f"{head} {hashlib.sha256(changes).hexdigest()}"


def _timed(
    name: str, argv: list[str], tally: Tally, environment: dict[str, str], limit: float, fine: tuple[int, ...] = (0,)
) -> bool:
    print(f"==> {name}", flush=True)
    began = time.monotonic()
    with _group(argv, environment) as process:
        seconds, outcome = _wait(process, began, limit, fine)
    tally.times.append((name, seconds, outcome))
    return outcome == "ok"


def _wait(process: subprocess.Popen[bytes], began: float, limit: float, fine: tuple[int, ...]) -> tuple[float, str]:
    """How long it took, and how it ended; after ``limit`` seconds it has hung."""
    try:
        code = process.wait(max(0.0, began + limit - time.monotonic()))
        outcome = "ok" if code in fine else f"failed ({code})"
    except subprocess.TimeoutExpired:
        outcome = f"stopped after {limit:.0f} s"
    return time.monotonic() - began, outcome


@contextmanager
def _group(
    argv: list[str], environment: dict[str, str], output: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The process, in a group of its own that is ended with it, first politely: fixtures tidy up."""
    process = subprocess.Popen(
        argv, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        for number, patience in ((signal.SIGINT, 60), (signal.SIGKILL, 5)):
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(patience)


def _clean_up(prefix: str) -> None:
    """Removes the installations that tests of this run made and, broken off, could not remove themselves."""
    for folder in Path("/etc/ccx").glob(f"{prefix}*"):
        subprocess.run([str(BIN / "ccx"), "down", "--purge", "--instance", folder.name], cwd=ROOT, check=False)
    for space in Path("/run/netns").glob(f"{prefix}-*"):
        _end_namespace(space.name)
    hosts = Path("/etc/hosts")
    lines = hosts.read_text().splitlines(keepends=True)
    if len(kept := [line for line in lines if f".{prefix}-" not in line]) < len(lines):
        hosts.write_text("".join(kept))


def _end_namespace(name: str) -> None:
    """With what runs in it; its links go with it."""
    found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    for pid in found.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    subprocess.run(["ip", "netns", "delete", name], check=False)


def _print_times(tally: Tally) -> None:
    print("\nwhere the time went (what ran side by side counts twice)")
    for name, seconds, outcome in tally.times:
        print(f"  {name:<28} {seconds:7.1f} s  {outcome}")
    print(f"  {'total':<28} {sum(seconds for _, seconds, _ in tally.times):7.1f} s\n")


if __name__ == "__main__":
    sys.exit(main())
