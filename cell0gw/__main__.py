"""``python -m cell0gw``"""

from __future__ import annotations

from cell0gw.cli import main

main()
