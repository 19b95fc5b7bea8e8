"""`python -m cluster.cli`: the same as the `everloop` script."""

from cluster.cli import main

if __name__ == "__main__":
    main()
