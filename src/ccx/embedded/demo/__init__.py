"""What ``script/demo`` is made of, beyond the ``ccx`` command: a writer that knows what was acknowledged to it."""

from ccx.embedded.demo.ledger import Acknowledgement, Overlap
from ccx.embedded.demo.writer import Writer

__all__ = ["Acknowledgement", "Overlap", "Writer"]
