#!/usr/bin/env python3
"""Times PyTorch's optimizers as DeviceBench times ours: the same work in the same order, the same protocol, the same lines of CSV.

torch_steps.py WORK CONTENDER launches          how many kernels a step launches, by PyTorch's own profiler
torch_steps.py WORK CONTENDER steps ROUND SECONDS
torch_steps.py WORK CONTENDER network ROUND SECONDS   the training of a network, in float32 without TF32

WORK is what `DeviceBench work` prints. CONTENDER is fused, foreach or graph; graph replays a captured step of the fused optimizer where there is
one, else of the foreach one. With --small it rehearses on the CPU, whose figures mean nothing.
"""

import math
import sys
import time

import torch

SMALL = "--small" in sys.argv
DEVICE = "cpu" if SMALL else "cuda"
REGION_MS, DISCARDED, KEPT = (1, 1, 2) if SMALL else (50, 3, 20)
COPY = 10_000 if SMALL else 250_000_000
ROTATE_TO, COPIES, HOST_STEPS, HOST_NETWORK_STEPS = 10_000_000, 3, 100, 20
WITH_LAUNCHES = ("1e6", "1000x1024", "resnet50", "gpt2-124M", "llama-3.2-1B", "1e4")
WIDTHS, BATCH, SAMPLES = (784, 100, 100, 100, 100, 10), 128, 300 if SMALL else 60_000
NETWORK_SHAPE = "784-100x4-10 batch 128"

# What PyTorch throws where a version or a device has something not; out of memory is a RuntimeError, too.
MISSING = (RuntimeError, TypeError, ValueError)

# As cuBLAS does by default, and ours with it.
torch.backends.cuda.matmul.allow_tf32 = False


class Event:
    """A CUDA event; in a rehearsal, the time on the host."""

    def __init__(self):
        self.event = None if SMALL else torch.cuda.Event(enable_timing=True)

    def record(self):
        if SMALL:
            self.event = time.perf_counter()
        else:
            self.event.record()

    def us_since(self, other):
        if SMALL:
            return 1e6 * (self.event - other.event)
        self.event.synchronize()
        return 1e3 * other.event.elapsed_time(self.event)


def optimizer(rule, contender, params):
    """The optimizer of a rule's name, with that rule's hyperparameters."""
    name, _, clipped = rule.partition(" ")
    kinds = {
        "Sgd": (torch.optim.SGD, {}),
        "Momentum": (torch.optim.SGD, {"momentum": 0.9}),
        "Nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        "AdaGrad": (torch.optim.Adagrad, {}),
        "RmsProp": (torch.optim.RMSprop, {}),
        "Adam": (torch.optim.Adam, {}),
    }
    if name not in kinds:
        raise ValueError("it has no rule here for " + name)
    kind, options = kinds[name]
    fused = kind is not torch.optim.RMSprop
    if contender == "fused" and not fused:
        raise ValueError("there is no fused one")
    # Adagrad's fused one is for CPUs only in some versions, and says so.
    if contender == "graph" and kind is torch.optim.Adagrad:
        fused = False
    if contender == "graph" and kind in (torch.optim.Adam, torch.optim.RMSprop):
        options["capturable"] = True
    if contender == "foreach" or not fused:
        options["foreach"] = True
    else:
        options["fused"] = True
    return kind(params, lr=1e-3, **options)


def step_of(rule, contender, sizes):
    """A step over tensors of these sizes, from random numbers, and not from zeros."""
    params = [torch.rand(size, device=DEVICE).sub_(0.5).requires_grad_() for size in sizes]
    for p in params:
        p.grad = torch.rand_like(p).sub_(0.5)
    opt = optimizer(rule, contender, params)

    def step():
        if rule.endswith("clipped"):
            torch.nn.utils.clip_grad_norm_(params, 1.0, foreach=True)
        opt.step()

    return captured(step, params, opt) if contender == "graph" else step


def captured(step, *keep):
    """The same step as one graph, which reads and writes the memory of what is kept."""
    if SMALL:
        raise ValueError("no graphs without a device")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # the state is made before the capture
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    graph.keep = keep
    return graph.replay


def network_step(contender, whole):
    """A batch drawn and gathered on the device and its gradient; the whole of it with Adam's step, and the sizes of the parameters."""
    x = torch.rand(SAMPLES, WIDTHS[0], device=DEVICE)
    labels = torch.randint(WIDTHS[-1], (SAMPLES,), device=DEVICE)
    layers = []
    for inputs, units in zip(WIDTHS, WIDTHS[1:]):
        linear = torch.nn.Linear(inputs, units).to(DEVICE)
        torch.nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        torch.nn.init.zeros_(linear.bias)
        layers += [linear, torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])  # no ReLU behind the logits
    opt = optimizer("Adam", contender, list(net.parameters()))

    def step():
        opt.zero_grad(set_to_none=True)
        rows = torch.randint(SAMPLES, (BATCH,), device=DEVICE)
        logits = net(x.index_select(0, rows))
        torch.nn.functional.cross_entropy(logits, labels.index_select(0, rows)).backward()
        if whole:
            opt.step()

    sizes = [p.numel() for p in net.parameters()]
    return captured(step, x, labels, net, opt) if contender == "graph" else step, sizes


def in_turns(steps):
    turn = 0

    def step():
        nonlocal turn
        steps[turn]()
        turn = (turn + 1) % len(steps)

    return step


def region(step, steps, host_steps):
    """Microseconds for a step on the device, and of a call on the host."""
    begin, end, watched = Event(), Event(), min(steps, host_steps)
    begin.record()
    start = time.perf_counter_ns()
    for _ in range(watched):
        step()
    host = time.perf_counter_ns() - start
    for _ in range(steps - watched):
        step()
    end.record()
    return end.us_since(begin) / steps, host / 1e3 / watched


def kernels(step):
    """How many a step launches, by PyTorch's own profiler; in a rehearsal the operators that the host runs."""
    from torch.profiler import ProfilerActivity, profile

    step()
    if not SMALL:
        torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU if SMALL else ProfilerActivity.CUDA]) as seen:
        step()
        if not SMALL:
            torch.cuda.synchronize()
    on_device = [e for e in seen.events() if e.device_type.name == ("CPU" if SMALL else "CUDA")]
    return sum(1 for e in on_device if not e.name.startswith(("Memcpy", "Memset")))


class Bench:
    def __init__(self, contender, round_):
        self.contender, self.round = contender, round_

    def print(self, rule, shape, sizes, n, steps, device_us, host_us, note=""):
        note = note.replace(",", ";").replace("\n", " ")[:200]
        print(f"torch-{self.contender},{self.round},{rule},{shape},{len(sizes)},{sum(sizes)},{n},{steps},{device_us},{host_us},{note}", flush=True)

    def time(self, rule, shape, sizes, step, host_steps=HOST_STEPS):
        steps = 1
        while steps < 1 << 20 and region(step, steps, host_steps)[0] * steps < 1e3 * REGION_MS:
            steps *= 2
        for _ in range(DISCARDED):
            steps = max(steps, math.ceil(1e3 * REGION_MS / region(step, steps, host_steps)[0]))
        for n in range(1, KEPT + 1):
            device_us, host_us = region(step, steps, host_steps)
            self.print(rule, shape, sizes, n, steps, f"{device_us:.4f}", f"{host_us:.4f}")

    def copy(self, when):
        a, b = torch.rand(COPY, device=DEVICE), torch.rand(COPY, device=DEVICE)
        self.time("copy", when, [COPY], lambda: a.copy_(b))

    def steps(self, work, seconds):
        end = time.monotonic() + seconds
        self.copy("before")
        for rule, shape, sizes in work:
            if time.monotonic() > end:
                self.print(rule, shape, sizes, 0, 0, "", "", "left out: time")
                continue
            copies = COPIES if sum(sizes) <= ROTATE_TO else 1
            try:
                self.time(rule, shape, sizes, in_turns([step_of(rule, self.contender, sizes) for _ in range(copies)]))
            except MISSING as e:
                self.print(rule, shape, sizes, 0, 0, "", "", f"torch has it not: {e}")
            if not SMALL:
                torch.cuda.empty_cache()
        self.copy("after")

    def network(self, seconds):
        end = time.monotonic() + seconds
        for rule in ("network", "network gradient"):
            if time.monotonic() > end:
                self.print(rule, NETWORK_SHAPE, [], 0, 0, "", "", "left out: time")
                continue
            try:
                step, sizes = network_step(self.contender, whole=rule == "network")
                self.time(rule, NETWORK_SHAPE, sizes, step, HOST_NETWORK_STEPS)
            except MISSING as e:
                self.print(rule, NETWORK_SHAPE, [], 0, 0, "", "", f"torch has it not: {e}")

    def launches(self, work):
        for rule, shape, sizes in work:
            if rule not in ("Adam", "Adam clipped") or not SMALL and shape not in WITH_LAUNCHES:
                continue
            try:
                count = kernels(step_of(rule, self.contender, sizes))
                self.print(rule, shape, sizes, 0, count, "", "", "launches per step")
            except MISSING as e:
                self.print(rule, shape, sizes, 0, 0, "", "", f"torch has it not: {e}")
        try:
            step, sizes = network_step(self.contender, whole=True)
            self.print("network", NETWORK_SHAPE, sizes, 0, kernels(step), "", "", "launches per step")
        except MISSING as e:
            self.print("network", NETWORK_SHAPE, [], 0, 0, "", "", f"torch has it not: {e}")


def main():
    arguments = [a for a in sys.argv[1:] if a != "--small"]
    path, contender, what = arguments[:3]
    work = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            rule, shape, runs = line.rstrip("\n").split("\t")
            sizes = [int(size) for run in runs.split() for count, size in [run.split("x")] for _ in range(int(count))]
            work.append((rule, shape, sizes))
    if what == "launches":
        Bench(contender, 0).launches(work)
    elif what == "network":
        Bench(contender, int(arguments[3])).network(float(arguments[4]))
    else:
        Bench(contender, int(arguments[3])).steps(work, float(arguments[4]))


main()
