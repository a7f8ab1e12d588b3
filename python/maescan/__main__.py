"""`python -m maescan`."""

from maescan.cli import main

main()
