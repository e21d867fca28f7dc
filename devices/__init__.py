"""What is plugged in: pure, vectorised models of storage, sources, loads and their firmware."""
