"""What the suite runs over: an operation, how to prepare a datastore for it, and what must be true afterwards.

Adding an operation is adding a line to the ``CASES`` of a module; the suite finds its steps by itself.
"""

from tests.integration.saga.cases import backing_up, in_place, life, restoring
from tests.integration.saga.cases.saga import Case, Check, Saga, new_saga

CASES = {case.name: case for part in (life, backing_up, restoring, in_place) for case in part.CASES}

__all__ = ["CASES", "Case", "Check", "Saga", "new_saga"]
