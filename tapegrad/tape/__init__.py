"""The tape: the record of a computation, how it is written, rewritten and read."""
