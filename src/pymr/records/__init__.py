"""Bytes ↔ records: finding and reading inputs, writing and reading parts."""
