"""What is remembered: datastores, nodes, firewall rules, database users, and the outbox. Models and repositories."""
