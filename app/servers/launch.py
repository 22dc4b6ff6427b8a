"""Become a server program that dies with its parent. Run as a script, never imported.

Code between fork and exec (``preexec_fn``) may hang when other threads are running, so this small
program stands there instead: it gives up root if asked, asks the kernel for a signal when the
parent dies, and becomes the server. Standard library only; the order matters, because giving up
root clears the wish for the signal.

    launch.py PARENT_PID DEATH_SIGNAL UID PROGRAM [ARGUMENT ...]        (UID 0: stay who we are)
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process by the server; returns only by raising."""
    parent, death_signal, uid = (int(word) for word in arguments[:3])
    program = arguments[3:]
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.umask(0o077)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit("the parent is gone already")
    os.execv(program[0], program)  # noqa: S606 - becoming the program is the purpose


if __name__ == "__main__":
    main(sys.argv[1:])
