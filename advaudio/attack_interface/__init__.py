"""What an attack is: the base class, what it returns, and how one is found by name."""
