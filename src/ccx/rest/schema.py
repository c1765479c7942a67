"""What all bodies share: unknown fields are refused by name, text is text, and errors have one shape."""

from __future__ import annotations

import difflib
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError


def _printable(text: str) -> str:
    # Control characters have no business in names; and PostgreSQL can't hold NUL.
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise PydanticCustomError("control_characters", "control characters aren't allowed here")
    return _encodable(text)


def _encodable(text: str) -> str:
    """JSON can hold half a character (``\\ud800``); nothing else can."""
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise PydanticCustomError("half_characters", "half of a surrogate pair is no character")
    return text


Text = Annotated[str, AfterValidator(_printable), Field(max_length=1024)]
"""A line of text without control characters."""

AnyText = Annotated[str, AfterValidator(_encodable)]
"""Text with whatever in it; for what is checked otherwise, and for passwords."""

When = Annotated[AwareDatetime, PlainSerializer(lambda at: at.isoformat().replace("+00:00", "Z"), return_type=str)]
"""RFC 3339 with ``T`` and an offset."""


class Body(BaseModel):
    """A request's body, or a part of it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _unknown_fields(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for name in data:
                if name not in cls.model_fields:
                    near = difflib.get_close_matches(str(name), cls.model_fields, 1, 0.6)
                    known = ", ".join(cls.model_fields)
                    raise PydanticCustomError(
                        "unknown_field",
                        "there is no such field",
                        {
                            "name": str(name)[:100],
                            "remedy": f"Did you mean {near[0]}?" if near else f"There is: {known}",
                        },
                    )
        return data


class Done(BaseModel):
    """``{}``: accepted. Existing clients don't read the answers to writes, but need them to be JSON."""


class Problem(BaseModel):
    """Every error's shape."""

    model_config = ConfigDict(extra="allow")

    code: int = Field(description="the HTTP status")
    err: str = Field(description="what is wrong")
    field: str | None = Field(default=None, description="the input that is to blame, as a dotted path")
    remedy: str | None = Field(default=None, description="what to do about it")


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "Refused: what, which field, what to do"},
    "5XX": {"model": Problem, "description": "Failed: something outside, or the control plane itself"},
    422: {"model": Problem, "description": "An input can't be accepted as it is"},
}
"""What every route may answer besides its success."""
