"""``python -m aiidadb`` and the command ``aiidadb``."""

from __future__ import annotations

import logging
import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; without its extra, say which one is missing."""
    try:
        from aiidadb.cli import aiidadb
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"click", "rich"}:
            raise
        sys.exit("Error: the command line needs its extra: pip install 'aiidadb[cli]'")
    # The library shows nothing that it logs; here, warnings about what was asked are shown.
    logging.getLogger("aiidadb.queries").addHandler(logging.StreamHandler())
    try:
        aiidadb(prog_name="aiidadb")
    finally:
        # Python's own handler raises where nothing catches it any more: it would show a traceback.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
