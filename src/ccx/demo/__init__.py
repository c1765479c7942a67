"""The demonstration behind ``script/demo``: it drives ``ccx`` as a person would, and checks what it shows."""

from ccx.demo.ledger import Acknowledgement, Overlap
from ccx.demo.writer import Writer

__all__ = ["Acknowledgement", "Overlap", "Writer"]
