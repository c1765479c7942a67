"""An object store that is a folder, for programs that reach theirs by rclone: nothing is encrypted or packed in it."""

from __future__ import annotations

from pathlib import Path

import pytest

DAMAGED = "!damaged"
"""An object with this content can't be decrypted."""
_RCLONE = """#!/bin/sh
wrong=0
give() {{
    grep -q '^!damaged' "$1" || {{ cat "$1"; return; }}
    echo "failed to authenticate decrypted block - bad password?" >&2
    wrong=1
}}
for word; do
    case "$word" in store:*) at="{store}/${{word#store:}}" ;; --files-from-raw=*) listed="${{word#*=}}" ;; esac
done
case " $* " in
    *" lsf "*) cd "$at" 2>/dev/null || exit 3; find . -type f | sed 's,^./,,' ;;
    *" --include "*) for one in "$at"/*/manifest.json; do [ ! -e "$one" ] || give "$one"; done; exit "$wrong" ;;
    *" rcat "*)
        [ ! -e {store}/full ] || {{ echo "no room" >&2; exit 1; }}
        mkdir -p "$(dirname "$at")"
        trap 'rm -f "$at"; exit 1' TERM
        cat >"$at" ;;
    *" delete "*) cd "$at" && xargs rm -f <"$listed" ;;
    *) give "$at"; exit "$wrong" ;;
esac
"""
_ZSTD = """#!/bin/sh
for word; do case "$word" in /*) exec cat "$word" ;; esac; done
exec cat
"""


def folder_store(folder: Path, monkeypatch: pytest.MonkeyPatch, **programs: str) -> Path:
    """Makes one, and the programs that reach it; ``programs``: the scripts of others. It takes no more once it holds
    a file called ``full``."""
    store, programs = folder / "store", {"rclone": _RCLONE.format(store=folder / "store"), "zstd": _ZSTD, **programs}
    store.mkdir()
    for name, script in programs.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "agent")
    return store
