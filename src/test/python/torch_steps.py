#!/usr/bin/env python3
"""Times PyTorch's optimizers as DeviceBench times ours: the same work in the same order, the same protocol, the same lines of CSV.

torch_steps.py WORK CONTENDER launches          how many kernels a step launches, by PyTorch's own profiler
torch_steps.py WORK CONTENDER steps ROUND SECONDS
torch_steps.py WORK CONTENDER network ROUND SECONDS   the training of a network, in float32 without TF32

WORK is what `DeviceBench work` prints. CONTENDER is torch-fused, torch-foreach or torch-graph; graph replays a captured step of the fused optimizer
where there is one, else of the foreach one. With --small it rehearses on the CPU, whose figures mean nothing.
"""

import time

import torch
from steps import SMALL, is_mixed, main

DEVICE = "cpu" if SMALL else "cuda"
WIDTHS, BATCH, SAMPLES = (784, 100, 100, 100, 100, 10), 128, 300 if SMALL else 60_000

# The optimizer of a rule's name, with that rule's hyperparameters.
OPTIMIZERS = {
    "Sgd": (torch.optim.SGD, {}),
    "Momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "Nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "AdaGrad": (torch.optim.Adagrad, {}),
    "RmsProp": (torch.optim.RMSprop, {}),
    "RmsPropMomentum": (torch.optim.RMSprop, {"momentum": 0.9}),
    "RmsPropCentered": (torch.optim.RMSprop, {"centered": True}),
    "Rprop": (torch.optim.Rprop, {}),
    "Adam": (torch.optim.Adam, {}),
    "AdamW": (torch.optim.AdamW, {}),
    "AmsGrad": (torch.optim.Adam, {"amsgrad": True}),
    "NAdam": (torch.optim.NAdam, {}),
    "RAdam": (torch.optim.RAdam, {}),
    "Adamax": (torch.optim.Adamax, {}),
    "AdaDelta": (torch.optim.Adadelta, {}),
    "Adafactor": (getattr(torch.optim, "Adafactor", None), {}),  # since 2.5
    "Muon": (getattr(torch.optim, "Muon", None), {"weight_decay": 0.0}),  # since 2.9; its products are of bfloat16
}
FUSED = (torch.optim.SGD, torch.optim.Adagrad, torch.optim.Adam, torch.optim.AdamW)

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


class Torch:
    def __init__(self, contender):
        self.kind = contender.removeprefix("torch-")

    def optimizer(self, rule, params):
        name = rule.partition(" ")[0]
        optimizer, options = OPTIMIZERS.get(name, (None, {}))
        if optimizer is None:
            raise ValueError("no such optimizer")
        fused = optimizer in FUSED
        if self.kind == "fused" and not fused:
            raise ValueError("there is no fused one")
        if name == "Muon":  # a loop alone; DeviceReport says so
            return optimizer(params, lr=1e-3, **options)
        if name == "Adafactor" and self.kind == "graph":
            raise ValueError("it cannot be captured")
        # Adagrad's fused one is for CPUs only in some versions, and says so.
        if self.kind == "graph" and optimizer is torch.optim.Adagrad:
            fused = False
        options = dict(options)
        if self.kind == "graph" and optimizer not in (torch.optim.SGD, torch.optim.Adagrad):
            options["capturable"] = True
        options["foreach" if self.kind == "foreach" or not fused else "fused"] = True
        return optimizer(params, lr=1e-3, **options)

    def mixed(self, rule, sizes):
        """A whole step of AdamW in mixed precision, as a loop of training has it once the gradients are there."""
        words = rule.split()
        dtype = torch.bfloat16 if "bf16" in words else torch.float16 if "fp16" in words else torch.float32
        if "remainder" in words or "stochastic" in words:
            raise ValueError("no such optimizer")
        model = [torch.rand(size, device=DEVICE).sub_(0.5).to(dtype).requires_grad_() for size in sizes]
        for p in model:
            p.grad = torch.rand_like(p).sub_(0.5)
        copies = "master" in words  # in float32, of parameters and of gradients, for PyTorch has no optimizer that keeps them
        stepped = [p.detach().float().requires_grad_() for p in model] if copies else model
        for p in stepped:
            p.grad = torch.rand_like(p).sub_(0.5)
        theirs, ours, theirs_of, ours_of = ([t.detach() for t in ts] for ts in (model, stepped, [p.grad for p in model], [p.grad for p in stepped]))
        opt = torch.optim.AdamW(stepped, lr=1e-3, fused=True)
        scaler = torch.amp.GradScaler(DEVICE, init_scale=1.0) if "scaled" in words else None  # 1: unscaled in place, gradients stay what they were
        if scaler:
            scaler.scale(torch.zeros((), device=DEVICE))  # as a loss, for it has no scale before the first

        def step():
            if copies:
                torch._foreach_copy_(ours_of, theirs_of)
            if scaler:
                scaler.unscale_(opt)
            if "clipped" in words:
                torch.nn.utils.clip_grad_norm_(stepped, 1.0, foreach=True)
            if scaler:
                scaler.step(opt)
                scaler.update()
            else:
                opt.step()
            if copies:
                torch._foreach_copy_(theirs, ours)

        step()
        p = stepped[0]
        size, model_size = p.element_size(), model[0].element_size()
        state = sum(t.element_size() for t in opt.state[p].values() if t.numel() == p.numel() > 1)
        # A step reads p, g and state, and writes p and state.
        self.bytes = 2 * size + p.grad.element_size() + 2 * state
        if copies:
            self.bytes += 2 * (model_size + size)
        if scaler:
            self.bytes += 2 * size
        if "clipped" in words:
            self.bytes += 3 * size  # read for the norm; read and written to be clipped
        return step

    def step_of(self, rule, sizes):
        """A step over tensors of these extents, from random numbers, and not from zeros."""
        if is_mixed(rule):
            return self.mixed(rule, sizes)
        params = [torch.rand(size, device=DEVICE).sub_(0.5).requires_grad_() for size in sizes]
        for p in params:
            p.grad = torch.rand_like(p).sub_(0.5)
        opt = self.optimizer(rule, params)

        def step():
            if rule.endswith("clipped"):
                torch.nn.utils.clip_grad_norm_(params, 1.0, foreach=True)
            opt.step()

        return self.captured(step, params, opt)

    def captured(self, step, *keep):
        """A step; of graph, the same step as one graph, which reads and writes the memory of what is kept."""
        if self.kind != "graph":
            return step
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

    def network_step(self, whole):
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
        opt = self.optimizer("Adam", list(net.parameters()))

        def step():
            opt.zero_grad(set_to_none=True)
            rows = torch.randint(SAMPLES, (BATCH,), device=DEVICE)
            logits = net(x.index_select(0, rows))
            torch.nn.functional.cross_entropy(logits, labels.index_select(0, rows)).backward()
            if whole:
                opt.step()

        return self.captured(step, x, labels, net, opt), [tuple(p.shape) for p in net.parameters()]

    def copy_of(self, size):
        a, b = torch.rand(size, device=DEVICE), torch.rand(size, device=DEVICE)
        return lambda: a.copy_(b)

    def region(self, run):
        begin, end = Event(), Event()
        begin.record()
        run()
        end.record()
        return end.us_since(begin)

    def kernels(self, step):
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

    def free(self):
        if not SMALL:
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main(Torch)
