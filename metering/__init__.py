"""What the meters say, and how far we believe them."""
