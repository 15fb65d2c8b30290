"""The pure core: what a run decides. No I/O, no clock, no threads, no randomness."""
