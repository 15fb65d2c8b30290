"""A run on many machines: a master that decides, and workers that run attempts."""
