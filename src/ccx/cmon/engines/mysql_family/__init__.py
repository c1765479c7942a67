"""The MySQL family: what MariaDB and its relatives share, and a folder for each of them with what differs.

Replication by GTID, semi-synchronous. Who is primary is decided by a keeper on each node, with a lease in etcd.
"""
