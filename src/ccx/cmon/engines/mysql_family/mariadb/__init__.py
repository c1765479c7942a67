"""MariaDB: replication by GTID, semi-synchronous."""
