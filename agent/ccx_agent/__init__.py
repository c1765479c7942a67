"""ccx-agent: what the control plane may ask of a node. Standard library only; runs on Python 3.11 and later.

``ccx-agent <verb>`` reads one JSON object from standard input, writes JSON lines of progress to standard output, and
ends with one line that holds the ``result`` or the ``error``. Each module holds one group of verbs.
"""

PROTOCOLS = (1,)
"""The versions of the conversation that this agent understands: the current one and the one before it."""
