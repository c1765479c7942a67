"""Tries destinations from where it runs: name, connection, certificate, answer. Standard library only, Python 3.11.

One implementation for both sides: the ``ccx`` command runs it, and ``ccx-agent`` on a node, in whose package it is. It
knows nothing of the network contract: :mod:`ccx.network.probe` makes requests of the plan's rows, and judges answers.
"""

from .model import Answer, Blocked, Certificate, Request
from .pool import LIMIT_S, PARALLEL, probe

__all__ = ["LIMIT_S", "PARALLEL", "Answer", "Blocked", "Certificate", "Request", "probe"]
