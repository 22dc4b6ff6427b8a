"""What the gas costs, and whether it has been paid."""
