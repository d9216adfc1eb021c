"""Hands sockets over as systemd does: C{activate.py NAME=DESCRIPTOR... -- COMMAND...} becomes the command."""

import fcntl
import os
import sys

at = sys.argv.index("--")
names, numbers = zip(*(argument.split("=") for argument in sys.argv[1:at]), strict=True)
command = sys.argv[at + 1 :]

# Out of the way first: one may be where another one belongs.
copies = [fcntl.fcntl(int(number), fcntl.F_DUPFD_CLOEXEC, 100) for number in numbers]
for place, copy in enumerate(copies, 3):
    os.dup2(copy, place, inheritable=True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(copies)), "LISTEN_FDNAMES": ":".join(names)}
os.execv(command[0], command)
