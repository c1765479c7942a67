"""Failover managers on the nodes (Patroni, our keeper), which keep their lease in etcd: what all of them need."""
