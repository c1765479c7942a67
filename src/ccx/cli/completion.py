"""Completion scripts. They are complete in themselves: the shell never calls ``ccx`` to complete."""

from __future__ import annotations

from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print a shell's completion script.

    Try:
      ccx completion bash > /etc/bash_completion.d/ccx
      ccx completion zsh > "${fpath[1]}/_ccx"
      ccx completion fish > ~/.config/fish/completions/ccx.fish
    """
    from ccx.cli.app import build

    print(build().generate_completion(prog_name="ccx", shell=shell))
