"""Six attacks on Foolbox's attack interface (protocol, section 5)."""
