"""Galera, of any vendor: every member has every write, one of them takes the writes, no other consensus is needed."""
