"""A cloud without machines: a process with durable state that keeps every promise of :class:`ccx.clouds.base.Cloud`.

``server`` is the process, ``driver`` what the control plane uses, ``control`` sets faults and reads what happened.
"""
