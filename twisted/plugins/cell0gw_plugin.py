"""``twistd cell0gw``"""

from twisted.application.service import ServiceMaker

cell0gw = ServiceMaker(
    "Cell 0 OS Gateway",
    "cell0gw.tap",
    "The real-time gateway where AI agents, people and services meet.",
    "cell0gw",
)
