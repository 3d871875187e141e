"""A program that writes its number down and then does nothing."""

import os
import sys
import time

from benchmarks import apart
from genenvs.core.files import replacing

if __name__ == "__main__":
    apart.end_with_parent()
    with replacing(sys.argv[1]) as temporary:
        temporary.write_text(str(os.getpid()))
    time.sleep(100)
