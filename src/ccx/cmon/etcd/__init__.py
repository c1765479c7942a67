"""etcd on a datastore's nodes: who carries a member, its files and units, membership, and ending a leadership.

Every engine whose failover manager keeps its lease there uses it; which manager that is, it does not know.
"""
