"""Where data lives: object stores, the journal, and the claim on an output."""
