"""Files in which banks and customers speak ISO 20022: what is said, wherever it lies."""
