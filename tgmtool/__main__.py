"""`python -m tgmtool` and the console script."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line and exit with its status.

    Before a command begins, and after it, an interrupt ends the process at once, as SIGTERM does: raised
    inside an import or at exit it would come out as a traceback.
    """
    raised = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if raised:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli import main as run

    status = run()
    if raised:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(status)


if __name__ == "__main__":
    main()
