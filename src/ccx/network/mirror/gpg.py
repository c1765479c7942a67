"""gpg without a trace: keys live in files of ours, and in a home of gpg's only while it works."""

from __future__ import annotations

import shutil
import subprocess
import tempfile

from ccx.errors import CcxError


class Gpg:
    """gpg in a home of its own that is gone afterwards: no agent stays, and the path is short enough for its socket."""

    def __enter__(self) -> Gpg:
        self.home = tempfile.mkdtemp(prefix="ccx-gpg-")
        return self

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        command = ["gpg", "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--homedir", self.home]
        try:
            done = subprocess.run([*command, *arguments], input=stdin, capture_output=True, check=False)
        except FileNotFoundError:
            raise CcxError("gpg is not installed", remedy="Install the package gnupg", status=500) from None
        if done.returncode != 0:
            raise CcxError(f"gpg failed: {done.stderr.decode(errors='replace').strip()}", status=500)
        return done.stdout

    def __exit__(self, *_: object) -> None:
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], capture_output=True, check=False)
        shutil.rmtree(self.home, ignore_errors=True)
