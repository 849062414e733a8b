#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""filter_crowd PROGRAM COUNT: under freeport run, starts so many static programs that hold a port at once. Each has one
of its own, and the supervisor serves them with few threads, and lets go of their descriptors when they have ended."""
import os
import subprocess
import sys
import time

PROGRAM, COUNT = sys.argv[1], int(sys.argv[2])
MOST_THREADS = 33


def number_of(what):
    return len(os.listdir(f"/proc/{os.getppid()}/{what}"))


before = number_of("fd")
crowd = [subprocess.Popen([PROGRAM, *"tcp4 bind 127.0.0.1 0 listen name stay".split()], stdout=subprocess.PIPE,
                          text=True) for _ in range(COUNT)]
ports = {[process.stdout.readline() for _ in range(3)][2] for process in crowd}
threads = number_of("task")
for process in crowd:
    process.kill()
for process in crowd:
    process.wait()
end = time.monotonic() + 30
while number_of("fd") > before and time.monotonic() < end:
    time.sleep(0.05)
left = number_of("fd") - before
few = threads <= MOST_THREADS
print(f"{len(ports)} ports, {'few' if few else threads} threads, {left} descriptors left over")
