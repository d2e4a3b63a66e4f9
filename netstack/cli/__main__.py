"""`python -m netstack.cli`."""

import sys

from netstack.cli import main

sys.exit(main())
