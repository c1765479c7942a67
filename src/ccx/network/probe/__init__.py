"""The plan tried for real: which rows answer from where it runs, which don't, and what to do about those.

The trying is :mod:`ccx_probe`'s, which nodes run too. Here a plan's rows become requests, and answers become outcomes.
"""

from ccx.network.probe.outcome import Outcome, Result, judge
from ccx.network.probe.report import SCHEMA, document, schema
from ccx.network.probe.run import run
from ccx.network.probe.targets import Target, targets

__all__ = ["SCHEMA", "Outcome", "Result", "Target", "document", "judge", "run", "schema", "targets"]
