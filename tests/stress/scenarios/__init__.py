"""The scenarios; importing this registers them all, in the order in which they run."""

from tests.stress.scenarios import handshakes as handshakes  # isort: skip
from tests.stress.scenarios import frames as frames  # isort: skip
from tests.stress.scenarios import silence as silence  # isort: skip
from tests.stress.scenarios import limits as limits  # isort: skip
from tests.stress.scenarios import tokens as tokens  # isort: skip
from tests.stress.scenarios import presence as presence  # isort: skip
from tests.stress.scenarios import channels as channels  # isort: skip
from tests.stress.scenarios import recovery as recovery  # isort: skip
from tests.stress.scenarios import mail as mail  # isort: skip
from tests.stress.scenarios import calls as calls  # isort: skip
from tests.stress.scenarios import everything as everything  # isort: skip
