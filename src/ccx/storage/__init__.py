"""Object stores: where backups are kept, one per cloud. ``base`` says what one must do, ``s3`` does it.

``open_store`` gives a cloud's store, ``access`` each datastore's own credentials, ``check`` tries what backups need.
"""

from ccx.storage.base import Credentials, Location, ObjectStore, StoredObject
from ccx.storage.opened import location_of, open_store

__all__ = ["Credentials", "Location", "ObjectStore", "StoredObject", "location_of", "open_store"]
