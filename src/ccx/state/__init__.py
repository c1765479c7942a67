"""Compares what shall be with what is: status, names, fencing, repair; and relays the outbox to NATS.

The seed's ccx-state-worker. One worker leads at a time; the others wait to take over.
"""
