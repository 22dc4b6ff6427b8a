"""Where metering touches the world."""
