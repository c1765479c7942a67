"""What can be made to go wrong, and how often."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ccx.clouds.simulated.state import State

Moment = Literal["before", "after"]


class Fault(BaseModel):
    """Something that goes wrong with the next matching calls. Several may wait; the oldest that matches is used.

    ``Fault(call="create_server", error="QuotaExceeded")`` refuses one server;
    ``Fault(call="create_*", error="Unavailable", moment="after", times=2)`` makes things twice and loses the answers;
    ``Fault(call="power_off", name="ccx-…", error="Unconfirmed", times=None)`` never confirms that this machine is off;
    ``Fault(call="verb:join", hang=True)`` never answers, as a frozen node.
    """

    model_config = ConfigDict(extra="forbid")

    call: str = Field(description="pattern of a method of Cloud, or of ``verb:<verb>`` on a node: ``create_*``")
    name: str = Field(default="*", description="pattern of the resource's (for a verb: the server's) name")
    error: str = Field(default="", description="name of an error of the cloud's or node channel's module; empty: none")
    moment: Moment = Field(default="before", description="``after``: it is done, and the answer lost")
    times: int | None = Field(default=1, ge=1, description="None: until the faults are cleared")
    delay: float = Field(default=0, ge=0, le=3600, description="seconds before anything happens")
    hang: bool = Field(default=False, description="nothing happens and no answer comes")

    def matches(self, call: str, name: str) -> bool:
        return fnmatchcase(call, self.call) and fnmatchcase(name, self.name)


class Faults:
    """The faults that wait, durable as everything else here."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, fault: Fault) -> None:
        number = max((int(name) for name in self._state.all("fault")), default=0) + 1
        self._state.put("fault", str(number), fault.model_dump())

    def clear(self) -> None:
        for number in self._state.all("fault"):
            self._state.delete("fault", number)

    def take(self, call: str, name: str) -> Fault | None:
        """The fault that this call meets, used up once."""
        for number, body in self._state.all("fault").items():
            fault = Fault(**body)
            if not fault.matches(call, name):
                continue
            if fault.times == 1:
                self._state.delete("fault", number)
            elif fault.times is not None:
                self._state.put("fault", number, {**body, "times": fault.times - 1})
            return fault
        return None
