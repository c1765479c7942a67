"""The control plane's own survival: a copy of its database in the object store, a claim that one alone has, the return.

``claim`` says who owns the instance, ``copy`` writes base copies and the log, ``keeper`` does both beside the roles,
``rebuild`` brings them back, ``status`` is what others may know of it.
"""
