"""Jobs' types in the words of the API."""

from __future__ import annotations

from ccx.runner.steps.backups import DRILLED, SCHEDULED, VERIFIED

DEPLOY = "JOB_TYPE_DEPLOY_DATASTORE"
DESTROY = "JOB_TYPE_DESTROY_DATASTORE"
FIREWALL = "JOB_TYPE_APPLY_FIREWALL"
EGRESS = "JOB_TYPE_APPLY_EGRESS"
CERTIFICATES = "JOB_TYPE_ROTATE_CERTIFICATES"
BACKUP = "JOB_TYPE_BACKUP"
VERIFY = "JOB_TYPE_VERIFY_BACKUPS"
PROBE = "JOB_TYPE_PROBE_NETWORK"

ROUTINE = (FIREWALL, EGRESS, SCHEDULED, VERIFIED, DRILLED)
"""Jobs that the usual list leaves out: clients look for the others among its first ten."""
