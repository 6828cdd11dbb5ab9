"""Samplers that read made-up meters in the process of the test, and only when they are asked to."""

import os
import time
import weakref

from harness.hardware import Sampler, Watched
from harness.hardware.recorder import WIDTH
from harness.hardware.ring import Ring, nameless_file
from harness.records import NAN, TELEMETRY, Figures


class ScriptedSource:
    """Takes the samples of ``meters``; what none of them reads is missing for want of a meter."""

    def __init__(self, *meters, keep=1000):
        self.meters = meters
        descriptor = nameless_file()
        weakref.finalize(self, os.close, descriptor)
        self.ring = Ring(descriptor, width=WIDTH, capacity=keep)
        self.missing = dict.fromkeys(TELEMETRY, "no meter measures it")

    def start(self):
        pass

    def stop(self):
        pass

    def ask(self):
        figures = Figures()
        for meter in self.meters:
            figures |= meter.read()
        self.missing |= figures.reasons
        now = time.time()
        self.ring.append((now, *(figures.values.get(name, NAN) for name in TELEMETRY)))
        return now

    def reasons(self):
        return self.missing


def scripted_sampler(*meters, gpu="GPU-scripted", keep=1000):
    """Return a sampler of these meters; ``gpu`` is the UUID of what they are, empty for none."""
    return Sampler(Watched(gpu_uuid=gpu, root="/nowhere"), source=ScriptedSource(*meters, keep=keep))
