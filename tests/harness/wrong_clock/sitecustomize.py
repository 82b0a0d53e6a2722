"""Found by each interpreter that has this folder in PYTHONPATH: its wall clock is AHEAD_S ahead."""

import os
import time

_right, _ahead_s = time.time, float(os.environ["AHEAD_S"])
time.time = lambda: _right() + _ahead_s
