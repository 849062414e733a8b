# SPDX-License-Identifier: MIT
"""As fpbench does: a number on standard input is that many calls; the answer is the nanoseconds that one took."""
import sys
import time

import portpicker

print("ready", flush=True)
for line in sys.stdin:
    began = time.perf_counter_ns()
    for _ in range(int(line)):
        portpicker.pick_unused_port()
    print((time.perf_counter_ns() - began) / int(line), flush=True)
