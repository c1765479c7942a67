"""MariaDB with Galera: every member has every write, one of them takes the writes, and no other consensus is needed."""
