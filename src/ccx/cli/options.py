"""What every command that asks the API takes: ``--output`` and ``--context``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from ccx.cli.client import Api


class Output(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of every command."""

    output: Annotated[Output, Parameter(name=["--output", "-o"], help="How the result is printed.")] = Output.TABLE
    context: Annotated[
        str | None,
        Parameter(help="Control plane to ask, by its context's name; else CCX_BASE_URL, else the current one."),
    ] = None

    def api(self) -> Api:
        """A client of the chosen control plane."""
        from ccx.cli import contexts
        from ccx.cli.client import Api

        return Api(contexts.choose(self.context))


DEFAULT = Common()
