"""The state folder: who may use it, and what lies in it."""

import os
from pathlib import Path

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.process.state import StateError, StateFolder


class SharedTests(SynchronousTestCase):
    """Who else can change what is in the folder."""

    def warnings(self, mode: int, foreign: bool = False) -> list[str]:
        """What is said of a folder with a mode, whether one's own or somebody else's."""
        path = Path(self.mktemp())
        path.mkdir()
        path.chmod(mode)
        if foreign and os.geteuid() == 0:
            os.chown(path, 12345, -1)
        elif foreign:
            self.patch(os, "geteuid", lambda: 12345)
        folder = StateFolder(path)
        with capturedLogs() as events:
            folder.lock()
        folder.unlock()
        found = [event for event in events if event.get("event") == "state.shared"]
        self.assertLessEqual({event["log_level"] for event in found}, {LogLevel.warn})
        return [str(event["why"]) for event in found]

    def test_ones_own(self) -> None:
        """Of a folder that is one's own nothing is said, and of one that was made just now neither."""
        for mode in (0o700, 0o755, 0o750):
            self.assertEqual(self.warnings(mode), [], oct(mode))
        with capturedLogs() as events:
            folder = StateFolder(Path(self.mktemp()) / "new")
            folder.lock()
            folder.unlock()
        self.assertEqual([event for event in events if event.get("event") == "state.shared"], [])

    def test_foreign(self) -> None:
        """It is named who else has it; root has it in any case."""
        (why,) = self.warnings(0o770, foreign=True)
        self.assertRegex(why, "^belongs to the user [0-9]+ and can be written by its group$")

    def test_writable(self) -> None:
        """Others who can write there are named in one line."""
        self.assertEqual(self.warnings(0o770), ["can be written by its group"])
        self.assertEqual(self.warnings(0o702), ["can be written by everybody"])
        self.assertEqual(self.warnings(0o1777), ["can be written by its group and can be written by everybody"])


class LockTests(SynchronousTestCase):
    """L{StateFolder.lock} and L{StateFolder.unlock}."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.folder = StateFolder(self.path)
        self.addCleanup(self.folder.unlock)

    def locked(self) -> bool:
        """Whether another one is kept out."""
        other = StateFolder(self.path)
        try:
            other.lock()
        except StateError:
            return True
        other.unlock()
        return False

    def refusal(self, path: Path) -> str:
        message = str(self.assertRaises(StateError, StateFolder(path).lock))
        self.assertNotIn("\n", message)
        return message

    def test_excludes_others(self) -> None:
        """While one has the folder, no other gets it; it is told which folder, and what to do."""
        self.folder.lock()
        message = self.refusal(self.path)
        self.assertIn("another gateway", message)
        self.assertIn(str(self.path), message)
        self.assertIn("--state-dir", message)

    def test_a_refused_one_takes_nothing(self) -> None:
        """Who was refused leaves the lock as it is, and can try again later."""
        self.folder.lock()
        other = StateFolder(self.path)
        self.assertRaises(StateError, other.lock)
        other.unlock()
        self.assertTrue(self.locked())
        self.folder.unlock()
        other.lock()
        self.assertTrue(self.locked())
        other.unlock()

    def test_a_refused_one_leaves_no_file_open(self) -> None:
        """Who tries for ever doesn't run out of files."""
        self.folder.lock()
        os.close(before := os.open(os.devnull, os.O_RDONLY))
        self.refusal(self.path)
        os.close(after := os.open(os.devnull, os.O_RDONLY))
        self.assertEqual(after, before)  # the lowest number that is free

    def test_unlock(self) -> None:
        """After it was unlocked the folder is free, and can be locked again."""
        self.folder.lock()
        self.folder.unlock()
        self.assertFalse(self.locked())
        self.folder.lock()
        self.assertTrue(self.locked())

    def test_twice(self) -> None:
        """To lock or unlock what is so already changes nothing."""
        self.folder.lock()
        self.folder.lock()
        self.assertTrue(self.locked())
        self.folder.unlock()
        self.folder.unlock()
        self.assertFalse(self.locked())

    def test_folders_are_apart(self) -> None:
        """Gateways on folders of their own don't hinder each other."""
        self.folder.lock()
        other = StateFolder(Path(self.mktemp()))
        other.lock()
        other.unlock()
        self.assertTrue(self.locked())

    def test_a_left_lock_file(self) -> None:
        """The lock file of a process that was killed keeps no one out."""
        self.path.mkdir()
        (self.path / "lock").write_text("")
        self.folder.lock()
        self.assertTrue(self.locked())

    def test_outlives_a_fork(self) -> None:
        """twistd forks after the lock was taken: as long as the child lives, the folder is its own."""
        self.folder.lock()
        end_of_child, end_of_parent = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(end_of_parent)
            os.read(end_of_child, 1)
            os._exit(0)
        os.close(end_of_child)
        self.folder.unlock()
        try:
            self.assertTrue(self.locked())
        finally:
            os.close(end_of_parent)
            os.waitpid(child, 0)
        self.assertFalse(self.locked())

    def test_made_for_the_owner_alone(self) -> None:
        """A folder that is not there is made, with what is above it, and nobody else may look into it."""
        path = self.path / "a" / "b"
        StateFolder(path).lock()
        self.assertEqual(path.stat().st_mode & 0o777, 0o700)
        self.assertEqual((path / "lock").stat().st_mode & 0o777, 0o600)

    def test_unusable(self) -> None:
        """A folder that can't be made or written is named, with the reason and the option that chooses another."""
        self.path.mkdir()
        file = self.path / "file"
        file.write_text("")
        (self.path / "folder" / "lock").mkdir(parents=True)
        for path in (file, file / "below", self.path / "folder"):
            message = self.refusal(path)
            self.assertIn(str(path), message)
            self.assertIn("--state-dir", message)
            self.assertNotIn("None", message)


class ContentTests(SynchronousTestCase):
    """What lies in the folder."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.mkdir()
        self.folder = StateFolder(self.path)

    def test_names(self) -> None:
        """The files are where the documentation says."""
        self.assertEqual(self.folder.database, self.path / "gateway.db")
        self.assertEqual(self.folder.admin_token, self.path / "admin.token")

    def test_admin_token(self) -> None:
        """The token is one line that only the owner may read, whatever the umask says."""
        self.addCleanup(os.umask, os.umask(0))
        self.folder.keep_admin_token("cell0_x_1")
        self.assertEqual(self.folder.admin_token.read_text(), "cell0_x_1\n")
        self.assertEqual(self.folder.admin_token.stat().st_mode & 0o777, 0o600)

    def test_replaces(self) -> None:
        """An older token, however it lies there, gives way; nothing else is left."""
        self.folder.admin_token.write_text("old")
        self.folder.admin_token.chmod(0o644)
        (self.path / "admin.new").write_text("left by a crash")
        (self.path / "admin.new").chmod(0o644)
        self.folder.keep_admin_token("new")
        self.assertEqual(self.folder.admin_token.read_text(), "new\n")
        self.assertEqual(self.folder.admin_token.stat().st_mode & 0o777, 0o600)
        self.assertEqual([path.name for path in self.path.iterdir()], ["admin.token"])

    def test_whole_or_not_at_all(self) -> None:
        """When the new token can't be written, the old one stays."""
        self.folder.admin_token.write_text("old\n")
        (self.path / "admin.new").mkdir()  # in the way of the new file
        self.assertRaises(OSError, self.folder.keep_admin_token, "new")
        self.assertEqual(self.folder.admin_token.read_text(), "old\n")

    def test_readers_see_no_half(self) -> None:
        """The old file is replaced, not rewritten: who has it open reads the old token to its end."""
        self.folder.keep_admin_token("old")
        with self.folder.admin_token.open() as reader:
            self.folder.keep_admin_token("new")
            self.assertEqual(reader.read(), "old\n")
