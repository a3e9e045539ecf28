"""``python -m hornbook`` and the ``hornbook`` script: both are the command line."""

from __future__ import annotations

from hornbook.cli.app import main

if __name__ == "__main__":
    main()
