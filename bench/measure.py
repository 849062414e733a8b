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

# How often a row is measured, and in how many starts of its variants: two of the same differ by some percent, however
# often they are called. Few where a start takes long; many where it is a few percent that are asked for.
SAMPLES = 300
STARTS, FEW_STARTS, MANY_STARTS = 15, 3, 60

MOST_WARM_UPS = 20


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
    samples: int = SAMPLES
    starts: int = STARTS
    unit: str = "ns"
    goals: dict = field(default_factory=dict)  # label -> Goal
    published: bool = False  # in the table of bench/README.md
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


def reap():
    """Those whose parents are gone are ours: we are the first process of the namespace. Not while a worker is there."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def summary(values):
    values = sorted(values)
    if len(values) < 2:
        return values[0], values[0], values[0]
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return median, q1, q3


def warm_up(worker, count, round_ns):
    """How many calls take a round's time, unless that is said. Nobody's first are counted: beside many strangers they
    find out who is there, and are a hundred times as dear as those that follow."""
    if count:
        for _ in range(2):
            worker.calls(count)
        return count
    count = 5
    for _ in range(MOST_WARM_UPS):
        took, _ = worker.calls(count)
        long_enough = took * count >= round_ns / 2
        count = max(1, min(20000, int(round_ns / max(took, 1))))
        if long_enough and took * count <= 2 * round_ns:
            break
    return count


class Samples:
    """What was measured of one row so far."""

    def __init__(self, row):
        self.row = row
        self.times = {variant.label: [] for variant in row.variants}
        self.first = {variant.label: [] for variant in row.variants}
        self.counted = {variant.label: 0 for variant in row.variants}  # lost and twice

    def add(self, scratch, start, rounds, round_ns):
        """One more start of all variants."""
        row, workers = self.row, []
        try:
            for number, variant in enumerate(row.variants):
                workers.append(Worker(variant, scratch, number))
            for worker in workers:
                self.first[worker.variant.label].append(worker.calls(1)[0])
            count = {worker: warm_up(worker, row.count, round_ns) for worker in workers}
            counted = {}
            for turn in range(rounds):
                for worker in workers if (turn + start) % 2 == 0 else reversed(workers):
                    took, counted[worker] = worker.calls(count[worker])
                    self.times[worker.variant.label].append(took)
            for worker, counts in counted.items():
                self.counted[worker.variant.label] += sum(int(value) for value in counts.values())
        finally:
            for worker in workers:
                worker.stop()
            reap()

    def results(self):
        """In the order of the variants."""
        baseline = self.times[self.row.variants[0].label]
        results = []
        for variant in self.row.variants:
            times = self.times[variant.label]
            median, q1, q3 = summary(times)
            ratio, ratio_q1, ratio_q3 = summary(
                [mine / other if other else 0 for mine, other in zip(times, baseline)])
            result = {"label": variant.label, "median": median, "q1": q1, "q3": q3, "samples": len(times),
                      "first": statistics.median(self.first[variant.label]), "count": self.counted[variant.label],
                      "ratio": ratio, "ratio_q1": ratio_q1, "ratio_q3": ratio_q3}
            goal = self.row.goals.get(variant.label)
            if goal:
                result |= {"reach": goal.text, "met": result[goal.what] <= goal.most}
            results.append(result)
        return results


def measure(rows, scratch, round_ns, quick):
    """A group's rows, start by start, so that what disturbs the machine for a minute disturbs all of a curve alike.
    Each row's results, or what went wrong."""
    samples = {row.name: Samples(row) for row in rows}
    problems = {}
    for start in range(1 if quick else max((row.starts for row in rows), default=0)):
        for row in rows:
            if row.name in problems or start >= row.starts:
                continue
            rounds = min(3, row.samples) if quick else -(-row.samples // row.starts)
            try:
                samples[row.name].add(scratch, start, rounds, round_ns)
            except Failed as error:
                problems[row.name] = str(error)
    return {row.name: problems.get(row.name) or samples[row.name].results() for row in rows}
