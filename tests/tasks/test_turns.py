"""When the tasks of an agent or a capability are looked at again."""

from __future__ import annotations

from tests.tasks.working import TaskCase

IN_A_MINUTE = "2026-02-12T10:31:00Z"
IN_AN_HOUR = "2026-02-12T11:30:00Z"


class LaterTests(TaskCase):
    """Tasks that nobody can have now."""

    def test_behind_what_nobody_here_takes(self) -> None:
        """What is too long for all who are here is given to the next who comes, though others are for later."""
        small = self.worker("s", max_message_size=8192)
        self.create(not_before=IN_AN_HOUR)
        long = self.create(message="x" * 9000)
        self.create(not_before=IN_AN_HOUR)
        self.gateway.advance(3)
        big = self.worker("b")
        self.assertEqual((self.asked(small), [a["task_id"] for a in self.asked(big)]), ([], [long]))

    def test_beside_what_nobody_here_takes(self) -> None:
        """What is for later is given in time, though another one waits for whom there is nobody."""
        small = self.worker("s", max_message_size=8192)
        self.create(message="x" * 9000)
        later = self.create(not_before=IN_A_MINUTE)
        self.gateway.advance(58)
        self.assertEqual(self.asked(small), [])
        self.gateway.advance(3)
        self.assertEqual([a["task_id"] for a in self.asked(small)], [later])

    def test_disk_broken_at_the_start(self) -> None:
        """What waited on a disk that could not be read at the start is given out once it can be."""
        task_id = self.create()
        self.gateway.close()
        self.store.broken = True
        self.start()
        worker = self.worker()
        self.gateway.advance(3)
        self.assertEqual(self.asked(worker), [])
        self.store.broken = False
        self.gateway.advance(3)
        self.assertEqual([a["task_id"] for a in self.asked(worker)], [task_id])

    def test_clock_set_back(self) -> None:
        """What is for later is given in time, when the wall clock is set meanwhile as well, back or forward."""
        for seconds in (-7200.0, 7200.0):
            worker = self.worker()
            self.create(not_before=IN_A_MINUTE)
            self.gateway.advance(3)
            self.gateway.ahead = seconds
            self.gateway.advance(50)
            self.assertEqual(self.asked(worker), [], seconds)
            self.gateway.advance(10)
            self.assertEqual(len(self.asked(worker)), 1, seconds)
            self.gateway.ahead = 0.0
            self.gateway.close()
            self.setUp()

    def test_nothing_left(self) -> None:
        """Of tasks that are over nothing is kept."""
        self.worker()
        for _ in range(3):
            task_id = self.create(not_before=IN_A_MINUTE)
            self.creator.call("task.cancel", task_id=task_id)
        self.gateway.advance(90)
        self.assertEqual(len(self.gateway.tasks.attempts.turns), 0)
