"""`python -m diffbehav` is the command line."""

from diffbehav.cli import main

main()
