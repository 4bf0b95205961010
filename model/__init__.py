"""The golden model: the exact rule in integer numpy, and what trains and measures with it."""
