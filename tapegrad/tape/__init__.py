"""The tape: the record of a computation, how it is written, rewritten and read."""

from tapegrad.tape.entries import Entries, Entry
from tapegrad.tape.line import Source
from tapegrad.tape.tape import Constant, Guard, Tape, TapeError, listing
from tapegrad.tape.verify import verify

__all__ = ["Constant", "Entries", "Entry", "Guard", "Source", "Tape", "TapeError", "listing", "verify"]
