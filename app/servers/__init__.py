"""The servers we run ourselves when none is configured."""
