"""`python -m pymr` is `pymr`."""

from pymr.cli import main

main()
