"""Studies of our own system: how it grows, where its time goes, what a CPU changes (see README.md)."""
