# SPDX-License-Identifier: MIT
"""What is measured: groups of rows, by the name that bench/run takes."""
import glob
import os
import shutil

from measure import FEW_STARTS, MANY_STARTS, Goal, Row, Variant

HERE = os.path.dirname(os.path.abspath(__file__))
FILLS = (0, 10, 25, 45, 60, 75, 90, 95, 99)
SMALL, MIDDLE, LARGE = "20000-20009", "20000-20999", "5000-64999"


def no_slower_than(factor):
    return Goal("ratio", factor, f"≤ {factor:.3g}")


def within(percent):
    return Goal("ratio", 1 + percent / 100, f"≤ {1 + percent / 100:g}")


def in_ms(ms):
    return Goal("median", ms * 1e6, f"≤ {ms} ms")


class Groups:
    def __init__(self, build, peers, quick):
        self.fpbench = os.path.join(build, "bench", "fpbench")
        self.empty = os.path.join(build, "bench", "libfpempty.so")
        self.fpcontinue = os.path.join(build, "bench", "fpcontinue")
        self.freeport = os.path.join(build, "cli", "freeport")
        self.launcher = os.path.join(build, "shim", "freeport-launch")
        self.shim = os.path.join(build, "shim", "libfreeport_shim.so")
        self.rebind_program = os.path.join(build, "tests", "stress", "rebind")
        self.peer_modules = peers
        self.quick = quick
        self.all = {
            "empty": self.port_zero, "fill": self.fill, "none": self.none_left, "elsewhere": self.elsewhere,
            "sentinel": self.sentinel, "seccomp": self.seccomp, "crowd": self.crowd, "start": self.start,
            "processes": self.processes, "rebind": self.rebind,
            "range": self.sizes, "sessions": self.sessions, "assignments": self.assignments, "prices": self.prices,
            "peers": self.peers}

    # --- Variants ------------------------------------------------------------------------------------------------

    def bench(self, label, *words, port_range=MIDDLE, options=(), beside=None, environment=None):
        command = [self.fpbench, "--range", port_range, *options]
        if beside:
            command += ["--beside", beside]
        return Variant(label, [*command, *words], environment or {})

    def under_shim(self, label, *words, port_range=MIDDLE, sentinels="8080", **others):
        environment = {"LD_PRELOAD": self.shim, "FREEPORT_TCP": port_range, "FREEPORT_UDP": port_range,
                       "FREEPORT_SEGMENT": "{segment}", "FREEPORT_SENTINELS": sentinels}
        return self.bench(label, *words, port_range=port_range, environment=environment, **others)

    def taken(self, port_range, percent, by_shim=False):
        """Another process, which binds that share of the ports: a stranger, or one under the shim."""
        first, last = port_range.split("-")
        without = "" if by_shim else "env -u LD_PRELOAD "
        return f"exec {without}{self.fpbench} take {first} {last} {percent}" if percent else None

    def under_filter(self, label, *words, **others):
        """Below a supervisor, by the filter alone."""
        return self.around(label, [self.freeport, "run", "--via", "seccomp", "--quiet", "--session", "1-0000000000000001",
                                   "--tcp", MIDDLE, "--udp", MIDDLE, "--sentinels", "8080", "--segment", "{segment}",
                                   "--"], *words, **others)

    def only_notified(self, label, *words, **others):
        return self.around(label, [self.fpcontinue], *words, **others)

    def around(self, label, before, *words, **others):
        variant = self.bench(label, *words, **others)
        return Variant(label, [*before, *variant.command], variant.environment)

    def filled(self, port_range, percent, *words):
        """The kernel, and the shim beside strangers and beside its own."""
        return [
            self.bench("kernel", *words, port_range=port_range, beside=self.taken(port_range, percent)),
            self.under_shim("by strangers", *words, port_range=port_range,
                            beside=self.taken(port_range, percent)),
            self.under_shim("by its own", *words, port_range=port_range,
                            beside=self.taken(port_range, percent, by_shim=True))]

    # --- Groups --------------------------------------------------------------------------------------------------

    def port_zero(self):
        for kind in ("tcp",) if self.quick else ("tcp", "udp"):
            yield Row(f"empty.{kind}", f"bind(0) cycle, {kind.upper()}, 1,000 ports, all free", [
                self.bench("kernel", "bind-cycle", kind),
                self.bench("kernel, IP_LOCAL_PORT_RANGE", "bind-cycle", kind,
                           options=("--socket-range", "--kernel", "20000-29999")),
                self.under_shim("shim", "bind-cycle", kind)],
                goals={"shim": no_slower_than(1.3)}, published=True)
            yield Row(f"empty.{kind}.bind", f"its bind(0) alone, {kind.upper()}", [
                self.bench("kernel", "bind", kind), self.under_shim("shim", "bind", kind)], published=kind == "tcp")

    def fill(self):
        for percent in (90,) if self.quick else FILLS:
            goals = {}
            if percent in (90, 99):
                goal = no_slower_than(1 if percent == 90 else 1 / 3)
                goals = {"by strangers": goal, "by its own": goal}
            yield Row(f"fill.{percent}", f"bind(0) cycle, {percent} % of 1,000 ports taken",
                      self.filled(MIDDLE, percent, "bind-cycle"), goals=goals, published=percent in (90, 99),
                      point=("fill", percent))
        for percent in () if self.quick else (90, 99):
            yield Row(f"fill.{percent}.large", f"bind(0) cycle, {percent} % of 60,000 ports taken",
                      self.filled(LARGE, percent, "bind-cycle"))

    def seccomp(self):
        for words, title in (("bind-cycle", "bind(0) cycle, TCP, under the filter"),
                             ("sentinel-connect", "connect to a sentinel (UDP), under the filter")):
            yield Row(f"seccomp.{words}", title, [
                self.only_notified("only notified", words), self.bench("kernel", words),
                self.under_filter("the session's", words)],
                goals={"the session's": no_slower_than(1.3)}, published=True)
        for words, title in (("send", "send on a connected socket"), ("syscall", "syscall(SYS_getppid)")):
            yield Row(f"seccomp.{words}", f"{title}, under the filter", [
                self.bench("kernel", words), self.under_filter("under the filter", words)],
                starts=MANY_STARTS, goals={"under the filter": within(5)}, published=True)

    def none_left(self):
        rows = ((MIDDLE, "1,000", 2, 1), (LARGE, "60,000", 50, 1))
        for port_range, ports, ms, count in rows[:1] if self.quick else rows:
            goal = in_ms(ms)
            yield Row(f"none.{ports.replace(',', '')}", f"bind(0), all {ports} ports taken: \"none left\"",
                      self.filled(port_range, 100, "none-left"), count=count, samples=150 if ms < 10 else 30,
                      starts=FEW_STARTS,
                      goals={"by strangers": goal, "by its own": goal}, published=True)

    def elsewhere(self):
        rows = (("unix-bind", "bind of AF_UNIX"), ("connect", "connect elsewhere (UDP)"),
                ("sendto", "sendto elsewhere"), ("recvfrom", "recvfrom, an ordinary datagram"),
                ("getsockname", "getsockname of an ordinary socket"), ("syscall", "syscall(SYS_getppid)"))
        for words, title in rows:
            yield Row(f"elsewhere.{words}", title, [self.bench("kernel", words), self.under_shim("shim", words)],
                      starts=MANY_STARTS, goals={"shim": within(2)}, published=True)

    def sentinel(self):
        rows = (("sentinel-first", "bind of a sentinel, the session's first"),
                ("sentinel-again", "bind of a sentinel that the session has a port for"),
                ("sentinel-connect", "connect to a sentinel (UDP)"), ("sentinel-sendto", "sendto a sentinel"),
                ("sentinel-recvfrom", "recvfrom a sentinel"), ("sentinel-getsockname", "getsockname of a sentinel"))
        for words, title in rows:
            first = words == "sentinel-first"
            yield Row(words.replace("-", "."), title, [
                self.bench("kernel", words, port_range=LARGE),
                self.under_shim("shim", words, port_range="30000-59999", sentinels="8080,10000-29999")],
                # Each is new once only: so many are there.
                count=64 if first else 0, published=True)

    def crowd(self):
        """A sentinel that others have, with many sockets on the host."""
        many = "900" if self.quick else "50000"
        beside = f"exec env -u LD_PRELOAD {self.fpbench} crowd {many}"
        rows = (("refused", "a bind of a sentinel that its server refuses", ("sentinel-refused",)),
                ("tcp.150", "the 150th worker (SO_REUSEPORT)", ("sentinel-worker", "tcp", "150")),
                ("tcp.1000", "the 1,000th worker", ("sentinel-worker", "tcp", "1000")),
                ("udp.150", "the 150th UDP socket (SO_REUSEADDR)", ("sentinel-worker", "udp", "150")),
                ("udp.2500", "the 2,500th UDP socket", ("sentinel-worker", "udp", "2500")))
        for name, title, words in rows[:2] if self.quick else rows:
            yield Row(f"crowd.{name}", f"{title}, {int(many):,} sockets on the host", [
                self.bench("kernel", *words, port_range="30000-59999", beside=beside),
                self.under_shim("shim", *words, port_range="30000-59999", beside=beside)],
                starts=FEW_STARTS, goals={"shim": no_slower_than(15)}, published=name != "tcp.150")

    def start(self):
        def spawn(label, *environment):
            # Nobody's segment is made by a program that is measured.
            return Variant(label, [self.fpbench, "start", "PATH=/usr/bin:/bin", *environment])

        preload = f"LD_PRELOAD={self.shim}"
        ranges = (f"FREEPORT_TCP={MIDDLE}", "FREEPORT_SENTINELS=8080")
        yield Row("start", "starting /bin/true, against an empty library", [
            spawn("an empty library", f"LD_PRELOAD={self.empty}"),
            spawn("no library"),
            spawn("shim, no range", preload),
            spawn("shim", preload, *ranges, "FREEPORT_SESSION=bench", f"FREEPORT_SEGMENT_OWNER={os.geteuid()}",
                  "FREEPORT_SEGMENT={segment}"),
            spawn("shim, the first of a session", preload, *ranges, "FREEPORT_SEGMENT={segment}")],
            count=3, starts=MANY_STARTS,
            goals={"shim": within(3), "shim, the first of a session": within(3), "shim, no range": within(3)},
            published=True)

    def processes(self):
        count, samples = (640, 3) if self.quick else (3200, 48)
        for many in (4,) if self.quick else (1, 2, 4, 8, 16, 32, 64):
            goals = {"shim": Goal("count", 0, "none lost, none twice")}
            yield Row(f"processes.{many}", f"bind(0) cycles of {many} at once: time for each", [
                self.bench("kernel", "processes", str(many), port_range="20000-29999"),
                self.under_shim("shim", "processes", str(many), port_range="20000-29999")],
                count=count, samples=samples, starts=FEW_STARTS, goals=goals, published=many == 64,
                point=("processes", many))
        yield Row("processes.rate", "bind(0) cycles of 64 at once, against one process's: time for each", [
            self.under_shim("one process, under the shim", "processes", "1", port_range="20000-29999"),
            self.under_shim("64 of them", "processes", "64", port_range="20000-29999")],
            count=count, samples=samples, starts=FEW_STARTS, goals={"64 of them": no_slower_than(1)}, published=True)

    def rebind(self):
        """Not a time, but a count: see run."""
        many, rounds = ("40", "3") if self.quick else ("400", "10")
        return [Row("rebind", f"\"bind 0, close, bind that number\", {many} at once on 2,000 ports: lost", [
            self.bench("kernel", "exec", self.rebind_program, many, rounds, port_range="20000-21999"),
            self.under_shim("shim", "exec", self.rebind_program, many, rounds, port_range="20000-21999")],
            unit="lost", goals={"shim": Goal("median", 0, "0")}, samples=1 if self.quick else 5, published=True)]

    def sizes(self):
        rows = ((10, SMALL), (1000, MIDDLE), (60000, LARGE))
        for size, port_range in rows[:1] if self.quick else rows:
            yield Row(f"range.{size}", f"bind(0) cycle, a range of {size:,} ports", [
                self.bench("kernel", "bind-cycle", port_range=port_range),
                self.under_shim("shim", "bind-cycle", port_range=port_range)], point=("range", size))

    def populated(self, what, many):
        port_range = "30000-64999"
        beside = f"exec env -u LD_PRELOAD {self.fpbench} {what} $SEGMENT {port_range} {many}"
        for words, title in (("bind-cycle", "bind(0) cycle"), ("sentinel-again", "bind of the session's sentinel"),
                             ("sentinel-connect", "connect to a sentinel"),
                             ("sentinel-getsockname", "getsockname of a sentinel")):
            if what == "assignments" and words != "bind-cycle":
                continue
            yield Row(f"{what}.{many}.{words}", f"{title}, beside {many:,} {what}", [
                self.bench("kernel", words, port_range=LARGE),
                self.under_shim("shim", words, port_range=port_range, beside=beside)], samples=200, starts=2,
                point=(what, many) if words == "bind-cycle" else (f"{what}.{words}", many))

    def sessions(self):
        for many in (10,) if self.quick else (1, 100, 1000, 10000):
            yield from self.populated("sessions", many)

    def assignments(self):
        for many in (10,) if self.quick else (1, 100, 10000, 30000):
            yield from self.populated("assignments", many)

    def prices(self):
        """Of system calls that the shim may make: by them a figure that is missed is explained."""
        calls = (("bind(0)", "bind"), ("bind of a free port", "bind-known"), ("bind of a busy port", "bind-busy"),
                 ("getsockname", "getsockname"), ("getsockopt", "getsockopt"), ("sigprocmask", "sigprocmask"),
                 ("kill(pid, 0), and getppid", "kill"), ("getppid", "syscall"))
        yield Row("prices", "what the kernel takes for a call, in the first's terms",
                  [self.bench(label, words) for label, words in (calls[:3] if self.quick else calls)])

    def peers(self):
        """What people use today for "give me a free port". One that is not installed is named, and is not measured."""
        def script(label, *words, beside=None, **environment):
            environment["NODE_PATH"] = environment["FPBENCH_MODULES"] = self.peer_modules
            return self.bench(label, "exec", *words, port_range=LARGE, beside=beside, environment=environment)

        def module(name):
            return shutil.which("node") and os.path.isdir(os.path.join(self.peer_modules, name))

        wrapper = next(iter(glob.glob("/usr/lib/*-linux-gnu/libsocket_wrapper.so")), "")
        portpicker = os.path.exists("/usr/lib/python3/dist-packages/portpicker.py")
        server = shutil.which("portserver")
        address = "{directory}/portserver"
        first, last = LARGE.split("-")
        candidates = (
            ("shim", True, self.under_shim("shim", "bind-cycle", port_range=LARGE)),
            ("freeport_get", True, self.bench("freeport_get", "freeport_get", "{segment}", port_range=LARGE)),
            ("socket_wrapper", wrapper, self.bench(
                "socket_wrapper", "exec", "env", f"LD_PRELOAD={wrapper}", "SOCKET_WRAPPER_DIR={directory}",
                self.fpbench, "bind-cycle", port_range=LARGE)),
            ("Erlang, as inet_free_port", shutil.which("escript"),
             script("Erlang, as inet_free_port", f"{HERE}/peers/inet_free_port.escript", first, last)),
            ("get-port (Node)", module("get-port"), script("get-port (Node)", "node", f"{HERE}/peers/get-port.mjs")),
            ("portfinder (Node)", module("portfinder"),
             script("portfinder (Node)", "node", f"{HERE}/peers/portfinder.js", first, last)),
            ("portpicker (Python)", portpicker,
             script("portpicker (Python)", "/usr/bin/python3", f"{HERE}/peers/portpicker_loop.py")),
            ("portpicker, portserver", portpicker and server, script(
                "portpicker, portserver", "/usr/bin/python3", f"{HERE}/peers/portpicker_loop.py",
                beside=f"{HERE}/peers/portserver {address} {LARGE}", PORTSERVER_ADDRESS=address)))
        kernel = self.bench("kernel", "bind-cycle", port_range=LARGE)
        for label, installed, variant in candidates[:3] if self.quick else candidates:
            name = "peers." + label.split(" ")[0].rstrip(",") + (".server" if "portserver" in label else "")
            yield Row(name, f"a free port, of 60,000: {label}", [kernel, variant] if installed else [],
                      # get-port and portserver keep what they gave. socket_wrapper leaves a file, and gets slower.
                      count=5 if variant is candidates[2][2] else 0, samples=60, starts=FEW_STARTS,
                      published=label != "shim")
