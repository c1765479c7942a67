"""One typed tree of settings. Lowest floor: imports nothing of ours but errors.

``load(instance)`` reads ``/etc/ccx/<instance>/ccx.yaml`` and the environment; ``Settings`` is immutable.
"""

from ccx.settings.load import load
from ccx.settings.model import (
    AutoRepair,
    CloudConfig,
    Database,
    InstanceType,
    Paths,
    Region,
    Settings,
    TypeOfCluster,
    VolumeType,
)

__all__ = [
    "AutoRepair",
    "CloudConfig",
    "Database",
    "InstanceType",
    "Paths",
    "Region",
    "Settings",
    "TypeOfCluster",
    "VolumeType",
    "load",
]
