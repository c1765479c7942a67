"""Makes the nodes' root file systems from Debian, once, and keeps them by content under ``/var/lib/ccx/images``.

``python -m ccx.clouds.local.image [NAME]``, by default ``baked``, makes an image where there is none, and prints its
folder last.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from ccx.clouds.local.locks import one_at_a_time
from ccx.clouds.local.recipe import RECIPES, SUITE, Recipe
from ccx.clouds.local.shell import SEARCH_PATH
from ccx.errors import CcxError

IMAGES = Path("/var/lib/ccx/images")
_DEFAULT_MIRROR = "http://deb.debian.org/debian"
_RELEASE_LIMIT = 1 << 16
_BUILD_LIMIT_S = 1800

Say = Callable[[str], None]


def _print(line: str) -> None:
    print(line, flush=True)


def mirror() -> str:
    """The Debian archive that images are made from: ``CCX_DEBIAN_MIRROR``, or Debian's own."""
    return os.environ.get("CCX_DEBIAN_MIRROR", _DEFAULT_MIRROR).rstrip("/")


def sources(archive: str, recipe: Recipe) -> tuple[str, ...]:
    """The archive's sources, with a release's security updates from the folder beside it (``…/debian-security``)."""
    if not recipe.released:
        return (f"deb {archive} {recipe.suite} main",)
    return (
        f"deb {archive} {SUITE} main",
        f"deb {archive} {SUITE}-updates main",
        f"deb {archive}-security {SUITE}-security main",
    )


def find_image(kind: str, images: Path = IMAGES) -> Path | None:
    """The newest image of that kind by today's recipe, without asking the archive; None where there is none."""
    recipe = RECIPES[kind]
    found = []
    for note in images.glob("*/image.json"):
        made = json.loads(note.read_text())
        if made["kind"] == kind and note.parent.name == recipe.digest(made["release"]):
            found.append((made["at"], note.parent / "root"))
    return max(found)[1] if found else None


def ensure_image(kind: str = "baked", images: Path = IMAGES, say: Say = _print) -> Path:
    """The root folder of the image; makes it when the recipe or the archive's release is new. Blocks for up to minutes.

    Without a way to the archive an image that is there is used as it is. Raises :class:`CcxError` when the build fails.
    """
    recipe = RECIPES[kind]
    archive = mirror()
    try:
        release = release_of(archive, recipe.suite)
    except (OSError, ValueError) as error:
        if there := find_image(kind, images):
            say(f"image {kind}: {archive} does not answer, keeping {there.parent.name}")
            return there
        raise CcxError(
            f"the Debian archive {archive} does not answer: {error}",
            remedy="Open the way to it, or set CCX_DEBIAN_MIRROR to a mirror in reach",
            status=503,
        ) from None
    home = images / recipe.digest(release)
    if _is_there(home):  # else who needs one that is made would wait for another that is being made
        say(f"image {kind}: {home.name} is there")
        return home / "root"
    with one_at_a_time(images):
        if _is_there(home):
            say(f"image {kind}: {home.name} is there")
        else:
            _build(recipe, archive, release, home, say)
    return home / "root"


def _is_there(home: Path) -> bool:
    """Whole, too: it gets this name when it is."""
    return (home / "image.json").exists()


def release_of(archive: str, suite: str = SUITE) -> str:
    """The archive's release date, the part of its state that a new image is worth making for."""
    with urllib.request.urlopen(f"{archive}/dists/{suite}/InRelease", timeout=15) as answer:  # noqa: S310
        head = answer.read(_RELEASE_LIMIT).decode(errors="replace")
    if not (date := re.search(r"^Date: (.+)$", head, re.MULTILINE)):
        raise ValueError("its InRelease has no date")
    return date[1].strip()


def _build(recipe: Recipe, archive: str, release: str, home: Path, say: Say) -> None:
    for leftover in home.parent.glob("*.building"):  # nobody builds: we hold the lock
        shutil.rmtree(leftover)
    temporary = home.with_suffix(".building")
    temporary.mkdir()
    log = home.parent / f"{recipe.name}.log"
    what = f"{len(recipe.packages)} packages from {archive} ({recipe.suite}, {release})"
    say(f"image {recipe.name}: making {home.name} of {what}")
    started = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            recipe.command(str(temporary / "root"), sources(archive, recipe)),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            env={**os.environ, "PATH": SEARCH_PATH},
        )  # fmt: skip
        try:
            last = _follow(process, output.write, started, say)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CcxError(f"the node image could not be made: {last}", remedy=f"Read {log}", status=500)
    note = {"kind": recipe.name, "release": release, "at": time.time(), "archive": archive}
    (temporary / "image.json").write_text(json.dumps(note))
    temporary.rename(home)
    say(f"image {recipe.name}: {home.name} made in {time.monotonic() - started:.0f} s")


def _follow(process: subprocess.Popen[str], write: Callable[[str], object], started: float, say: Say) -> str:
    """Hands the builder's stages on as they come; returns its first complaint, or its last line."""
    assert process.stdout is not None
    last = complaint = ""
    for line in process.stdout:
        write(line)
        last = line.strip() or last
        if line.startswith(("E: ", "env: ")):
            complaint = complaint or last
        if line.startswith("I: ") and not line.startswith("I: running --"):
            say(f"  {time.monotonic() - started:4.0f} s  {line[3:].strip()}")
        if time.monotonic() - started > _BUILD_LIMIT_S:
            raise CcxError(
                f"the node image was not made within {_BUILD_LIMIT_S} s", remedy="Use a nearer mirror", status=504
            )
    process.wait()
    return complaint or last


def main(arguments: list[str]) -> int:
    kind = arguments[0] if arguments else "baked"
    if kind not in RECIPES:
        print(f"unknown image {kind!r}; there are: {', '.join(RECIPES)}", file=sys.stderr)
        return 2
    try:
        _print(str(ensure_image(kind)))
    except (CcxError, PermissionError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
