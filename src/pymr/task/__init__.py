"""One attempt at one task: the seam that every runner shares."""
