"""`python -m asd_edge`: the command asd-edge, where its script is not on PATH."""

from asd_edge.cli.startup import main

main()
