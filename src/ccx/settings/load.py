"""Reads an instance's settings: ``ccx.yaml`` in its ``/etc`` folder, then the environment over it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from ccx.errors import Invalid
from ccx.settings.codes import prefix
from ccx.settings.model import Paths, Settings
from ccx.settings.vendors import OFFERS

# What <CODE>_S3_… says of a cloud's object store. Its keys are secrets, and read by who needs them.
_STORE = {"ENDPOINT": "s3_endpoint", "BUCKETNAME": "s3_bucket", "INSECURE_SSL": "s3_insecure_ssl"}

# Environment names that operators already use, and the setting each of them is.
_ENVIRONMENT = {
    "BACKUP_FULL": "backup_full",
    "BACKUP_INCREMENTAL": "backup_incremental",
    "EXTERNAL_DNS_TTL": "external_dns_ttl",
    "MAX_DATASTORES_PER_USER": "max_datastores_per_user",
    "CLOUD_INIT_TIMEOUT_MINUTES": "cloud_init_timeout_minutes",
    "LOG_LEVEL": "log_level",
    "NATS_SERVER": "nats_url",
    "CCX_DSN": "dsn",
}

# What an offer can't do without. A plan can: it is made of parts of one.
_NOT_EMPTY = {"clouds": ("regions", "instance_types", "volume_types"), "databases": ("versions", "num_nodes", "types")}


def load(instance: str = "default", environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of ``instance``. Raises :class:`ccx.errors.Invalid` with the file's field and the remedy."""
    file = Paths.of(instance).etc / "ccx.yaml"
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Invalid(
            f"instance {instance!r} has no {file}", remedy=f"Start it once: ccx up --instance {instance}"
        ) from None
    except OSError as error:
        remedy = "Run it as root, or give --values"
        raise Invalid(f"can't be read: {error.strerror}", field=str(file), remedy=remedy) from None
    except UnicodeDecodeError:
        raise Invalid("this is no text in UTF-8", field=str(file), remedy="Save it as UTF-8") from None
    return parse(text, file, instance, environ)


def parse(text: str, file: Path, instance: str, environ: Mapping[str, str]) -> Settings:
    """As :func:`load`, of what stands in ``file`` or is about to."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else str(file)
        # Not quoted: what is written there may be a secret.
        raise Invalid("this is not YAML", field=where, remedy="Correct that line") from None
    if not isinstance(raw, dict):
        remedy = "Correct the file, or remove it and run ccx up again"
        raise Invalid("this must be a mapping", field=str(file), remedy=remedy)
    values: dict[str, Any] = {**raw, "instance": instance, "paths": Paths.of(instance).model_dump()}
    variables = {field: name for name, field in _ENVIRONMENT.items() if name in environ}
    values.update({field: environ[name] for field, name in variables.items()})
    if isinstance(values.get("clouds"), list):
        values["clouds"] = [_with_store(cloud, environ) for cloud in values["clouds"]]
    if isinstance(values.get("databases"), list):
        values["databases"] = [_offer(entry, file) for entry in values["databases"]]
    try:
        found = Settings.model_validate(values)
    except ValidationError as error:
        raise _refusal(error, file, variables) from None
    for kind, parts in _NOT_EMPTY.items():
        for index, entry in enumerate(getattr(found, kind)):
            for part in parts:
                if not getattr(entry, part):
                    where = f"{file}: {kind}.{index}.{part}"
                    raise Invalid("there is none, so nothing can be ordered", field=where, remedy="List one at least")
    return found


def _refusal(error: ValidationError, file: Path, variables: Mapping[str, str]) -> Invalid:
    """The first thing that is wrong; for a key that is none, with the one that was meant. Quotes no value.

    ``variables`` are those that fields were taken from.
    """
    first = error.errors(include_input=False, include_url=False)[0]
    *above, last = map(str, first["loc"])
    where = ".".join([*above, last])
    if where in variables:
        return Invalid(first["msg"], field=variables[where], remedy="Correct that variable")
    if first["type"] != "extra_forbidden":
        return Invalid(first["msg"], field=f"{file}: {where}", remedy=f"Correct {where}")
    near = get_close_matches(last, _fields(above), n=1)
    remedy = f"Did you mean {near[0]}?" if near else "Remove it"
    return Invalid(f"there is no key {last!r}", field=f"{file}: {where}", remedy=remedy)


def _fields(path: list[str]) -> list[str]:
    """The settings' names below a path of names and indices."""
    model: Any = Settings
    for part in path:
        if not part.isdecimal():
            annotation = model.model_fields[part].annotation
            model = next((kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields")), None)
        if model is None:
            return []
    return list(model.model_fields)


def _offer(entry: Any, file: Path) -> Any:
    """A vendor on offer: by its code alone, or with what is to differ from how it is offered then."""
    code = entry.get("code") if isinstance(entry, dict) else entry
    if not isinstance(code, str):
        return entry  # validation says so
    if code in OFFERS:
        return {**OFFERS[code].model_dump(), **(entry if isinstance(entry, dict) else {})}
    if isinstance(entry, str):
        raise Invalid(
            f"there is no database {code!r}", field=f"{file}: databases", remedy=f"There is: {', '.join(OFFERS)}"
        )
    return entry


def _with_store(cloud: Any, environ: Mapping[str, str]) -> Any:
    if not isinstance(cloud, dict) or "code" not in cloud:
        return cloud  # validation says so
    names = {f"{prefix(str(cloud['code']))}_S3_{suffix}": field for suffix, field in _STORE.items()}
    return {**cloud, **{field: environ[name] for name, field in names.items() if environ.get(name)}}
