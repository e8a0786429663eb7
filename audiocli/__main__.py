"""The way in, as `audiocli` and as `python -m audiocli`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from audiocli.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
