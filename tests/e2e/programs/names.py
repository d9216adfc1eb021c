"""Gives a name addresses of its own: C{names.py NAME=ADDRESS,ADDRESS -- SCRIPT...} runs the Python script."""

import runpy
import socket
import sys
from typing import Any

at = sys.argv.index("--")
name, _, addresses = sys.argv[1].partition("=")
look_up = socket.getaddrinfo


def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
    """See L{socket.getaddrinfo}."""
    hosts = addresses.split(",") if host == name else [host]
    return [each for host in hosts for each in look_up(host, *arguments, **options)]


socket.getaddrinfo = getaddrinfo
sys.argv = sys.argv[at + 1 :]
runpy.run_path(sys.argv[0], run_name="__main__")
