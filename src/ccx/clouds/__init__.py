"""Where servers, volumes and firewalls come from. ``base.Cloud`` is the interface; one folder or file per cloud."""
