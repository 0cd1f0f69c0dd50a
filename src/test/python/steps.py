"""What torch_steps.py and optax_steps.py share: DeviceBench's protocol and lines of CSV, for the optimizers of other libraries.

A library is an object with
  step_of(rule, sizes)      a step over random tensors of these extents, a tuple each; an error of MISSING where it has none
  copy_of(size)             a copy of so many floats on the device
  region(run)               runs run(), which calls steps, and says how many microseconds they took on the device
  free()                    gives back what steps no longer need
  bytes                     what a parameter takes the last step that was made to move, of those of is_mixed()
and, where it trains networks and counts launches, network_step(whole) and kernels(step).
"""

import math
import sys
import time

SMALL = "--small" in sys.argv  # a rehearsal on the CPU, whose figures mean nothing
REGION_MS, DISCARDED, KEPT = (1, 1, 2) if SMALL else (20, 3, 10)
COPY = 10_000 if SMALL else 250_000_000
ROTATE_TO, COPIES, HOST_STEPS, HOST_NETWORK_STEPS = 10_000_000, 3, 100, 20
MOST_IN_GRAPH = 10_000_000
WITH_LAUNCHES = ("1e6", "1000x1024", "resnet50", "gpt2-124M", "llama-3.2-1B", "1e4")
NETWORK_SHAPE = "784-100x4-10 batch 128"

# What a library throws where a version or a device has something not; out of memory is a RuntimeError, too.
MISSING = (AttributeError, RuntimeError, TypeError, ValueError)


def is_mixed(rule):
    """Whether it is one of Workload.MIXED, `AdamW bf16 master clipped` for one, where each contender moves bytes of its own."""
    return rule.startswith("AdamW ")


def elements(sizes):
    return sum(math.prod(size) for size in sizes)


def in_turns(steps):
    turn = 0

    def step():
        nonlocal turn
        steps[turn]()
        turn = (turn + 1) % len(steps)

    return step


class Bench:
    def __init__(self, library, contender, round_):
        self.library, self.contender, self.round = library, contender, round_

    def print(self, rule, shape, sizes, n, steps, device_us, host_us, note=""):
        note = note.replace(",", ";").replace("\n", " ")[:200]
        print(f"{self.contender},{self.round},{rule},{shape},{len(sizes)},{elements(sizes)},{n},{steps},{device_us},{host_us},{note}", flush=True)

    def leave_out(self, rule, shape, sizes, why):
        self.print(rule, shape, sizes, 0, 0, "", "", why)

    def has_not(self, rule, shape, sizes, error):
        self.leave_out(rule, shape, sizes, f"{self.contender.partition('-')[0]} has it not: {error}")

    def region(self, step, steps, host_steps):
        """Microseconds for a step on the device, and of a call on the host."""
        watched, host = min(steps, host_steps), 0

        def run():
            nonlocal host
            start = time.perf_counter_ns()
            for _ in range(watched):
                step()
            host = time.perf_counter_ns() - start
            for _ in range(steps - watched):
                step()

        return self.library.region(run) / steps, host / 1e3 / watched

    def time(self, rule, shape, sizes, step, host_steps=HOST_STEPS):
        steps = 1
        while steps < 1 << 20 and self.region(step, steps, host_steps)[0] * steps < 1e3 * REGION_MS:
            steps *= 2
        for _ in range(DISCARDED):
            steps = max(steps, math.ceil(1e3 * REGION_MS / self.region(step, steps, host_steps)[0]))
        for n in range(1, KEPT + 1):
            device_us, host_us = self.region(step, steps, host_steps)
            self.print(rule, shape, sizes, n, steps, f"{device_us:.4f}", f"{host_us:.4f}")

    def copy(self, when):
        self.time("copy", when, [(COPY,)], self.library.copy_of(COPY))
        self.library.free()

    def steps(self, work, seconds):
        end = time.monotonic() + seconds
        self.copy("before")
        for rule, shape, sizes in work:
            if self.contender.endswith("-graph") and elements(sizes) > MOST_IN_GRAPH:
                continue
            if is_mixed(rule) and self.contender.endswith(("-graph", "-foreach")):
                continue
            if time.monotonic() > end:
                self.leave_out(rule, shape, sizes, "left out: time")
                continue
            copies = COPIES if elements(sizes) <= ROTATE_TO else 1
            try:
                step = in_turns([self.library.step_of(rule, sizes) for _ in range(copies)])
                if is_mixed(rule):
                    self.print(rule, shape, sizes, 0, self.library.bytes, "", "", "bytes per parameter")
                self.time(rule, shape, sizes, step)
            except MISSING as e:
                self.has_not(rule, shape, sizes, e)
            step = None  # or its tensors would be kept beside those of the next
            self.library.free()
        self.copy("after")

    def network(self, seconds):
        end = time.monotonic() + seconds
        for rule in ("network", "network gradient"):
            if time.monotonic() > end:
                self.leave_out(rule, NETWORK_SHAPE, [], "left out: time")
                continue
            try:
                step, sizes = self.library.network_step(whole=rule == "network")
                self.time(rule, NETWORK_SHAPE, sizes, step, HOST_NETWORK_STEPS)
            except MISSING as e:
                self.has_not(rule, NETWORK_SHAPE, [], e)

    def launches(self, work):
        for rule, shape, sizes in work:
            if is_mixed(rule):
                if self.contender != "torch-fused":
                    continue
            elif rule not in ("Adam", "Adam clipped") or not SMALL and shape not in WITH_LAUNCHES:
                continue
            try:
                count = self.library.kernels(self.library.step_of(rule, sizes))
                self.print(rule, shape, sizes, 0, count, "", "", "launches per step")
            except MISSING as e:
                self.has_not(rule, shape, sizes, e)
            self.library.free()
        try:
            step, sizes = self.library.network_step(whole=True)
            self.print("network", NETWORK_SHAPE, sizes, 0, self.library.kernels(step), "", "", "launches per step")
        except MISSING as e:
            self.has_not("network", NETWORK_SHAPE, [], e)


def read_work(path):
    """The rules, names of sets and sizes of tensors that `DeviceBench work` has printed."""
    work = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            rule, shape, runs = line.rstrip("\n").split("\t")
            numbers = [tuple(map(int, run.split("x"))) for run in runs.split()]  # how many, and their extents
            sizes = [run[1:] for run in numbers for _ in range(run[0])]
            work.append((rule, shape, sizes))
    return work


def main(library_of):
    """Does what the arguments say: WORK CONTENDER launches, or WORK CONTENDER steps|network ROUND SECONDS."""
    path, contender, what, *numbers = [a for a in sys.argv[1:] if a != "--small"]
    bench = Bench(library_of(contender), contender, int(numbers[0]) if numbers else 0)
    if what == "launches":
        bench.launches(read_work(path))
    elif what == "network":
        bench.network(float(numbers[1]))
    else:
        bench.steps(read_work(path), float(numbers[1]))
