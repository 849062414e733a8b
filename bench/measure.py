# SPDX-License-Identifier: MIT
"""Measures variants of one thing in turns, so that what disturbs the machine disturbs all of them alike.

A variant is a process that says "ready", then reads numbers, makes so many calls and answers with the nanoseconds that
one took (fpbench does; so do the peers). A row's variants run side by side, ABBA, in many short rounds, and are started
anew a few times, since a process's luck with its memory lasts as long as it does. Ratios are those of one round's
neighbours, not of two medians.
"""
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
from dataclasses import dataclass, field

PATIENCE = 60  # seconds that anything may take


@dataclass
class Variant:
    label: str
    command: list
    environment: dict = field(default_factory=dict)


@dataclass
class Row:
    """The first variant is what the others are compared with."""

    name: str
    title: str
    variants: list
    count: int = 0  # calls a round; 0: as many as take a millisecond
    rounds: int = 0  # 0: as usual
    starts: int = 0  # 0: as usual
    unit: str = "ns"
    goals: dict = field(default_factory=dict)  # label -> Goal
    published: bool = False  # in the README's table
    point: tuple = ()  # (curve, x): where it stands on a picture


@dataclass
class Goal:
    """`what` of a result is to be at most this."""

    what: str  # "ratio", or "median" in nanoseconds, or "count"
    most: float
    text: str


class Failed(Exception):
    pass


def give_up(*_):
    raise Failed(f"no answer for {PATIENCE} seconds")


signal.signal(signal.SIGALRM, give_up)


class Worker:
    def __init__(self, variant, scratch, number):
        self.variant = variant
        self.segment = f"/fpbench-{os.getpid()}-{number}"
        self.directory = tempfile.mkdtemp(dir=scratch)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("FREEPORT_")}
        environment.update(LC_ALL="C", TMPDIR=self.directory, SEGMENT=self.segment)
        for name, value in variant.environment.items():
            environment[name] = value.format(segment=self.segment, directory=self.directory)
        command = [word.replace("{segment}", self.segment).replace("{directory}", self.directory)
                   for word in variant.command]
        self.errors = open(os.path.join(self.directory, "stderr"), "w+b")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        env=environment, text=True, bufsize=1, start_new_session=True)
        if self.read() != "ready":
            raise Failed(f"{variant.label}: not ready")

    def read(self):
        # An answer that never comes ends the measurement, not the machine's day.
        signal.alarm(PATIENCE)
        line = self.process.stdout.readline()
        signal.alarm(0)
        if not line:
            self.errors.seek(0)
            said = self.errors.read().decode(errors="replace").strip()[-600:]
            raise Failed(f"{self.variant.label}: ended before it answered: {said}")
        return line.strip()

    def calls(self, count):
        """Nanoseconds for one of them, and what was counted meanwhile."""
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        first, *counts = self.read().split()
        return float(first), dict(word.split("=") for word in counts)

    def stop(self):
        self.process.stdin.close()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        try:
            os.unlink("/dev/shm" + self.segment)
        except FileNotFoundError:
            pass


def summary(values):
    values = sorted(values)
    if len(values) < 2:
        return values[0], values[0], values[0]
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return median, q1, q3


def measure(row, scratch, starts, rounds, round_ns):
    """The row's results, in the order of its variants."""
    times = {variant.label: [] for variant in row.variants}
    first = {variant.label: [] for variant in row.variants}
    counts = {variant.label: {} for variant in row.variants}
    baseline = row.variants[0].label
    number = 0
    for start in range(min(row.starts or starts, starts)):
        workers = []
        try:
            for variant in row.variants:
                workers.append(Worker(variant, scratch, number))
                number += 1
            for worker in workers:
                first[worker.variant.label].append(worker.calls(1)[0])
            # Nobody's first calls are counted; they tell how many take a millisecond.
            count = {worker: row.count or 5 for worker in workers}
            for worker in workers:
                for _ in range(2):
                    took, _ = worker.calls(count[worker])
                    if not row.count:
                        count[worker] = max(1, min(20000, int(round_ns / max(took, 1))))
            for turn in range(min(row.rounds or rounds, rounds)):
                for worker in workers if (turn + start) % 2 == 0 else reversed(workers):
                    took, counted = worker.calls(count[worker])
                    times[worker.variant.label].append(took)
                    counts[worker.variant.label].update({f"{start}.{key}": int(v) for key, v in counted.items()})
        finally:
            for worker in workers:
                worker.stop()
    results = []
    for variant in row.variants:
        label = variant.label
        median, q1, q3 = summary(times[label])
        result = {"label": label, "median": median, "q1": q1, "q3": q3, "first": statistics.median(first[label]),
                  "samples": len(times[label])}
        result["ratio"], result["ratio_q1"], result["ratio_q3"] = summary(
            [mine / other if other else 0 for mine, other in zip(times[label], times[baseline])])
        result["count"] = sum(counts[label].values())  # lost and twice, of all starts
        goal = row.goals.get(label)
        if goal:
            result["reach"] = goal.text
            result["met"] = result[goal.what] <= goal.most
        results.append(result)
    return results
