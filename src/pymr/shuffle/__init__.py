"""From emitted records to groups in key order: encode, buffer, sort, spill, merge."""
