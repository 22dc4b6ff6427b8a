"""Work out one bill again from its record alone.

This folder needs Python 3.11 or newer and nothing else: copy it, and
``python -m recompute bill.json`` says whether the bill is right. It shares no code with what made
the bill.
"""

from .compare import Answer, Difference, check
from .record import Record, read
from .strict import RecordError, loads

__all__ = ["Answer", "Difference", "Record", "RecordError", "check", "loads", "read"]
