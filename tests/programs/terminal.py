#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""terminal.py COMMAND...: runs a command on a terminal of its own, types Ctrl-C once it has said "ready", and says how it
ended: the signal, the exit status, or that it did not within ten seconds."""
import os
import pty
import signal
import sys
import time

pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
said = b""
while b"ready" not in said:
    said += os.read(terminal, 1000)
time.sleep(0.2)  # from its line into the call that blocks; earlier, it is interrupted all the same
os.write(terminal, b"\x03")
end = time.monotonic() + 10
while True:
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        break
    if time.monotonic() > end:
        os.kill(pid, signal.SIGKILL)
        sys.exit("not interrupted")
    time.sleep(0.02)
print(f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {os.WEXITSTATUS(status)}")
