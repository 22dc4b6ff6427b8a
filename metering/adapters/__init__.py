"""One file for each family of hardware: bytes in, samples out; nothing else knows its dialect."""
