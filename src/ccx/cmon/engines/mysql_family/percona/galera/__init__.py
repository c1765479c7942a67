"""Percona XtraDB Cluster, 8.0 and 8.4: Galera in Percona Server. It never ran where CCX is made."""
