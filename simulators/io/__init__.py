"""Where the simulators touch the world: the broker, the disk, the command line."""
