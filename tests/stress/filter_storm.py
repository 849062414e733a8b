#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""filter_storm PROGRAM SEED SECONDS: under freeport run --via seccomp, starts static programs that bind, connect and
send, and kills, stops and continues them at random. Then the supervisor is to be as it was before: no descriptor, no
thread and no zombie more, and what is bound at the end has a port of its own."""
import os
import random
import signal
import subprocess
import sys
import time

PROGRAM, SEED, SECONDS = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
MOST = 24
WORDS = (
    "tcp4 bind 127.0.0.1 0 listen name close",
    "udp4 bind 127.0.0.1 0 name close",
    "tcp4 reuseaddr bind 127.0.0.1 8080 listen name close",
    "udp4 reuseport bind 127.0.0.1 8080 name close",
    "tcp6 bind ::1 0 name close",
    "tcp4 listen name close",
)


def supervisor():
    """The ancestor whose session is its own: this process's parent, or what is above a shell."""
    return os.getppid()


def state(pid):
    tasks = len(os.listdir(f"/proc/{pid}/task"))
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    children = [int(child) for child in open(f"/proc/{pid}/task/{pid}/children").read().split()]
    zombies = [child for child in children if child != os.getpid()]
    return tasks, descriptors, zombies


def start(chance):
    words = " ".join(chance.choice(WORDS) for _ in range(chance.randrange(1, 40)))
    return subprocess.Popen([PROGRAM, *words.split()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def storm(chance):
    running = []
    started = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        while len(running) < MOST:
            running.append(start(chance))
            started += 1
        victim = chance.choice(running)
        for number in chance.choice(((signal.SIGKILL,), (signal.SIGKILL,), (signal.SIGSTOP, signal.SIGCONT),
                                     (signal.SIGSTOP, signal.SIGKILL))):
            victim.send_signal(number)
        time.sleep(chance.random() / 200)
        running = [process for process in running if process.poll() is None]
    for process in running:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
    return started


def settle(pid, before):
    """What the supervisor has not let go of in time; None where it is as it was."""
    end = time.monotonic() + 60
    while True:
        tasks, descriptors, zombies = state(pid)
        if descriptors <= before[1] and not zombies and tasks <= 2:
            return None
        if time.monotonic() > end:
            return f"left over: {tasks} threads, {descriptors} descriptors (before: {before[1]}), zombies {zombies}"
        time.sleep(0.2)


def main():
    chance = random.Random(SEED)
    pid = supervisor()
    start(chance).wait()
    before = state(pid)
    started = storm(chance)
    wrong = settle(pid, before)
    # Twelve that live at once have ports of their own, out of what the storm has left behind.
    ends = [subprocess.Popen([PROGRAM, *"tcp4 bind 127.0.0.1 0 listen name stay".split()], stdout=subprocess.PIPE,
                             text=True) for _ in range(12)]
    ports = []
    for process in ends:
        lines = [process.stdout.readline().strip() for _ in range(3)]
        ports.append(lines[2].split()[-1])
    for process in ends:
        process.kill()
        process.wait()
    if len(set(ports)) != len(ports):
        wrong = f"a port twice: {sorted(ports)}"
    print(f"seed {SEED}: {started} programs; {wrong or 'nothing is left over'}")
    return 1 if wrong else 0


sys.exit(main())
