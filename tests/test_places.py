"""Places to listen: paths, and sockets that were handed over. The end-to-end tests open ports."""

import errno
import os
import socket
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.transports.places import GivenPlace, TCPPlace, UNIXPlace, described


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


class TCPTests(SynchronousTestCase):
    """L{TCPPlace}, where it fails."""

    def test_no_host(self) -> None:
        """What can't be the name of a host is an error of the system like any other."""
        for host in ("a..b", "x" * 64, "\ud800"):
            self.assertRaises(OSError, TCPPlace(host, 0).open)

    def test_not_our_address(self) -> None:
        """An address that isn't this machine's is an OSError that says so, and no socket stays open."""
        before = descriptors()
        error = self.assertRaises(OSError, TCPPlace("192.0.2.1", 18801).open)  # for documentation, RFC 5737
        self.assertEqual(error.errno, errno.EADDRNOTAVAIL)
        self.assertLessEqual(descriptors(), before)


class UNIXTests(SynchronousTestCase):
    """L{UNIXPlace}."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = Path(os.path.relpath(folder / "s"))  # a path of a socket is at most 107 bytes
        self.place = UNIXPlace(str(self.path), 0o660)

    def open(self) -> socket.socket:
        listening = self.place.open()
        self.addCleanup(listening.close)
        return listening

    def refusal(self) -> int | None:
        before = descriptors()
        problem = self.assertRaises(OSError, self.place.open)
        self.assertLessEqual(descriptors(), before)
        return problem.errno

    def test_listens(self) -> None:
        """It listens, doesn't block, and its file has the mode that was asked for, whatever the umask."""
        self.addCleanup(os.umask, os.umask(0o077))
        listening = self.open()
        self.assertRaises(BlockingIOError, listening.accept)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))
        listening.accept()[0].close()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o660)
        self.assertEqual(described(listening), str(self.path))

    def test_somebody_listens(self) -> None:
        """A socket at which somebody listens is left alone, one whose queue is full as well."""
        with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as client:
            other.bind(str(self.path))
            other.listen(0)
            self.assertEqual(self.refusal(), errno.EADDRINUSE)
            client.setblocking(False)
            client.connect_ex(str(self.path))
            self.assertEqual(self.refusal(), errno.EADDRINUSE)
        self.assertTrue(self.path.exists())

    def test_nobody_listens(self) -> None:
        """The file that a killed process left behind is replaced."""
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.path))
            other.listen(1)
        self.open()

    def test_in_the_way(self) -> None:
        """A file that is no socket is left alone."""
        self.path.write_text("precious")
        self.assertEqual(self.refusal(), errno.EEXIST)
        self.assertEqual(self.path.read_text(), "precious")

    def test_no_such_folder(self) -> None:
        """A path that can't be is an OSError, too: no folder, a NUL, too long."""
        for path in ("/nowhere/at/all", "a\0b", "x" * 200):
            self.place = UNIXPlace(path, 0o600)
            self.refusal()

    def test_release(self) -> None:
        """Its file goes with it, unless another one is in its place by then."""
        self.open()
        self.place.release()
        self.assertFalse(self.path.exists())
        self.place.release()
        self.open()
        self.path.unlink()
        self.path.write_text("another")
        self.place.release()
        self.assertEqual(self.path.read_text(), "another")


class GivenTests(SynchronousTestCase):
    """L{GivenPlace}."""

    def test_listens(self) -> None:
        """The socket is listened on by a descriptor of ours: closing that leaves it open for a successor."""
        folder = Path(self.mktemp())
        folder.mkdir()
        with socket.socket(socket.AF_UNIX) as given, socket.socket(socket.AF_UNIX) as client:
            given.bind(path := os.path.relpath(folder / "s"))
            given.listen()
            os.set_inheritable(given.fileno(), True)
            place = GivenPlace(given.fileno())
            for _ in range(2):
                listening = place.open()
                self.assertEqual((listening.family, listening.gettimeout()), (socket.AF_UNIX, 0.0))
                listening.close()
                place.release()
            client.connect(path)
            given.accept()[0].close()
            self.assertFalse(os.get_inheritable(given.fileno()), "no child has it by accident")

    def test_no_socket(self) -> None:
        """What doesn't listen, or is no socket, is an OSError."""
        one, other = socket.socketpair()
        read, write = os.pipe()
        self.addCleanup(lambda: [os.close(end) for end in (read, write)])
        with one, other:
            for descriptor in (one.fileno(), read, 1_000_000):
                self.assertRaises(OSError, GivenPlace(descriptor).open)
