"""The cluster manager: reaches nodes over SSH, boots them with cloud-init, builds and observes clusters by engine."""
