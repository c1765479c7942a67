"""CCX: databases as a service that live behind your firewall."""
