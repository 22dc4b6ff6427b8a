"""The outside world; it knows the wire and never imports us."""
