"""Percona Server for MySQL, 8.0 and 8.4: one primary and its replicas."""
