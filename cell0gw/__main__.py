"""``python -m cell0gw``"""

from cell0gw.cli import main

main()
