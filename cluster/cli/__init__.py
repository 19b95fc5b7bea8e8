"""`everloop`: the command line. Each command imports what it needs when it runs."""

__all__ = ["main"]


def main() -> None:
    """Entry point of the `everloop` script."""
    from cluster.cli.app import app

    app()
