"""`python -m tusjumbo` is the command `tusjumbo`."""

import sys

from tusjumbo.cli import main

sys.exit(main())
