"""A process that is forked while a thread of its parent holds something."""

import os
import signal

MOST_SECONDS = 60


def ends_in_a_fork(act):
    """Whether a forked process does this, and says that it is so, before it is ended."""
    pid = os.fork()
    if not pid:  # pragma: no cover  in the child
        signal.alarm(MOST_SECONDS)
        status = 1
        try:
            status = int(not act())
        finally:
            os._exit(status)
    _pid, ended = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(ended) == 0
