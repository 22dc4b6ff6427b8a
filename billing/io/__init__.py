"""Where billing touches the world."""
