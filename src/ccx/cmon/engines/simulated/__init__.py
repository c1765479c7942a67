"""A database without a database: what the nodes of the simulated cloud run, with leader, lease and failover."""

from ccx.cmon.engines.simulated.engine import SimulatedEngine

__all__ = ["SimulatedEngine"]
