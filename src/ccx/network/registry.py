"""The declarations made so far, by id."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import ParamSpec

from ccx.errors import Invalid
from ccx.network.endpoint import Endpoint

_declared: dict[str, Endpoint] = {}
_Facts = ParamSpec("_Facts")


def _entering(make: Callable[_Facts, Endpoint]) -> Callable[_Facts, Endpoint]:
    """``make``, with what it makes entered into the contract. Takes what ``make`` takes, type checkers know."""

    def declare(*args: _Facts.args, **facts: _Facts.kwargs) -> Endpoint:
        """Enters an :class:`Endpoint` into the contract; the arguments are its attributes.

        Called at the top of a package's ``endpoints.py``. Raises Invalid, which fails the import, for a duplicate id
        or a declaration that is incomplete.
        """
        module = sys._getframe(1).f_globals.get("__name__", "")
        endpoint = make(*args, **facts)
        object.__setattr__(endpoint, "module", module)  # ours until it is returned; replace() would check it all again
        earlier = _declared.get(endpoint.id)
        if earlier is not None:
            raise Invalid(
                f"{endpoint.id} is declared twice: in {earlier.module} and in {module}",
                field=module, remedy="Give each connection an id of its own",
            )  # fmt: skip
        _declared[endpoint.id] = endpoint
        return endpoint

    return declare


declare = _entering(Endpoint)


def declared() -> dict[str, Endpoint]:
    """What has been declared by the modules loaded so far. :func:`ccx.network.catalogue.load` loads them all."""
    return dict(_declared)
