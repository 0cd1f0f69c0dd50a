#!/usr/bin/env python3
"""Times optax's optimizers as DeviceBench times ours: the same work in the same order, the same protocol, the same lines of CSV.

optax_steps.py WORK optax steps ROUND SECONDS

A step is one jitted function: update and apply_updates over a list of arrays, whose parameters and state are donated, so that XLA may work in place.
JAX has no events: a region is the time on the host from a device that has nothing to do to one that has nothing to do any more. With --small it
rehearses on the CPU, whose figures mean nothing.
"""

import os
import time

# Or it would take most of the memory at once, which the others' sets and this one's copies need.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import optax
from optax import contrib
from steps import SMALL, is_mixed, main

# XLA compiles a step over 1,000 tensors for half a minute; the models have up to 161.
MOST_TENSORS = 200

# The optimizer of a rule's name, with that rule's hyperparameters.
OPTIMIZERS = {
    "Sgd": lambda: optax.sgd(1e-3),
    "Momentum": lambda: optax.sgd(1e-3, momentum=0.9),
    "Nesterov": lambda: optax.sgd(1e-3, momentum=0.9, nesterov=True),
    "AdaGrad": lambda: optax.adagrad(1e-3),
    "RmsProp": lambda: optax.rmsprop(1e-3),
    "RmsPropMomentum": lambda: optax.rmsprop(1e-3, momentum=0.9),
    "RmsPropCentered": lambda: optax.rmsprop(1e-3, centered=True),
    "Rprop": lambda: optax.rprop(1e-3),
    "Lion": lambda: optax.lion(1e-3, weight_decay=0),
    "SignSgd": lambda: optax.sign_sgd(1e-3),
    "Adam": lambda: optax.adam(1e-3),
    "Adam clipped": lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3)),
    "AdamW": lambda: optax.adamw(1e-3, weight_decay=0.01),
    "AmsGrad": lambda: optax.amsgrad(1e-3),
    "AdaBelief": lambda: optax.adabelief(1e-3),
    "NAdam": lambda: optax.nadam(1e-3),
    "RAdam": lambda: optax.radam(1e-3),
    "Adamax": lambda: optax.adamax(1e-3),
    "AdaDelta": lambda: optax.adadelta(1e-3),
    "Yogi": lambda: optax.yogi(1e-3),
    "Adan": lambda: optax.adan(1e-3),
    "AdEMAMix": lambda: contrib.ademamix(1e-3),
    "Adopt": lambda: contrib.adopt(1e-3),
    "ScheduleFreeSgd": lambda: contrib.schedule_free_sgd(1e-3),
    "ScheduleFreeAdamW": lambda: contrib.schedule_free_adamw(1e-3),
    "Madgrad": lambda: contrib.madgrad(1e-3),
    "Lars": lambda: optax.lars(1e-3),
    "NovoGrad": lambda: optax.novograd(1e-3),
    "Lamb": lambda: optax.lamb(1e-3),
    "Adafactor": lambda: optax.adafactor(1e-3),
    "Muon": lambda: contrib.muon(1e-3),
}


class Optax:
    def __init__(self, contender):
        self.key = jax.random.key(0)
        self.compiled = {}
        self.last = []  # what the steps in turn have computed last: a region ends when it is there
        if not SMALL and jax.default_backend() != "gpu":
            raise SystemExit("JAX has no GPU here, but " + jax.default_backend())

    def random(self, size):
        self.key, key = jax.random.split(self.key)
        return jax.random.uniform(key, size, minval=-0.5, maxval=0.5)

    def mixed(self, rule, sizes):
        """A whole step of AdamW in mixed precision: over float32 parameters that a step casts for the next gradient, or over bfloat16 throughout."""
        words = rule.split()
        if "bf16" not in words or "scaled" in words or not {"master", "nearest"} & set(words):
            raise ValueError("no such optimizer")
        copies, half = "master" in words, jax.numpy.bfloat16
        opt = optax.adamw(1e-3, weight_decay=0.01, mu_dtype=None if copies else half)
        if "clipped" in words:
            opt = optax.chain(optax.clip_by_global_norm(1.0), opt)
        stepped = [self.random(size) if copies else self.random(size).astype(half) for size in sizes]
        grads = [self.random(size).astype(half) for size in sizes]
        state = jax.tree.map(jax.numpy.copy, opt.init(stepped))
        model = [p.astype(half) for p in stepped] if copies else None
        moments = sum(t.dtype.itemsize for t in jax.tree.leaves(state) if t.size > 1) / len(sizes)
        # As one loop of XLA's moves them: p and moments read and written, g read, for the norm once more, and the model's parameters written.
        p, g = stepped[0].dtype.itemsize, grads[0].dtype.itemsize
        self.bytes = round(2 * p + g + 2 * moments) + (g if "clipped" in words else 0) + (half.dtype.itemsize if copies else 0)
        work = (rule, tuple(sizes))
        if work not in self.compiled:

            def update(stepped, state, model, grads):
                if copies:
                    grads = [g.astype(jax.numpy.float32) for g in grads]
                updates, state = opt.update(grads, state, stepped)
                stepped = optax.apply_updates(stepped, updates)
                return stepped, state, [p.astype(half) for p in stepped] if copies else None

            self.compiled[work] = jax.jit(update, donate_argnums=(0, 1, 2))
        update, turn = self.compiled[work], len(self.last)
        self.last.append(stepped)

        def step():
            nonlocal stepped, state, model
            stepped, state, model = update(stepped, state, model, grads)
            self.last[turn] = stepped

        return step

    def step_of(self, rule, sizes):
        if is_mixed(rule):
            if len(sizes) > MOST_TENSORS:
                raise ValueError(f"compiling a step over more than {MOST_TENSORS} tensors takes too long")
            return self.mixed(rule, sizes)
        if rule not in OPTIMIZERS:
            raise ValueError("no such optimizer")
        if len(sizes) > MOST_TENSORS:
            raise ValueError(f"compiling a step over more than {MOST_TENSORS} tensors takes too long")
        params, grads = [self.random(size) for size in sizes], [self.random(size) for size in sizes]
        opt, work = OPTIMIZERS[rule](), (rule, tuple(sizes))
        state = jax.tree.map(jax.numpy.copy, opt.init(params))  # some keep the parameters themselves, which are donated, too
        if work not in self.compiled:  # once for all copies that take turns

            def update(params, state, grads):
                updates, state = opt.update(grads, state, params)
                return optax.apply_updates(params, updates), state

            self.compiled[work] = jax.jit(update, donate_argnums=(0, 1))
        update, turn = self.compiled[work], len(self.last)
        self.last.append(params)

        def step():
            nonlocal params, state
            params, state = update(params, state, grads)
            self.last[turn] = params

        return step

    def copy_of(self, size):
        a = self.random((size,))
        copy = jax.jit(lambda x: x.copy())
        self.last.append(a)

        def step():
            self.last[0] = copy(a)

        return step

    def region(self, run):
        jax.block_until_ready(self.last)
        start = time.perf_counter_ns()
        run()
        jax.block_until_ready(self.last)
        return (time.perf_counter_ns() - start) / 1e3

    def free(self):
        self.last.clear()
        self.compiled.clear()


if __name__ == "__main__":
    main(Optax)
