"""What a run and its storage are made of: lightkube's typed objects, rendered by pure functions.

No I/O, no clock, no chance: the same arguments give the same objects. All pods stand on
`pod.hardened_template`; all names and labels are in `labels`.
"""
