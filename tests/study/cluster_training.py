"""Workshops and trainers for the tests on a Ray cluster: those of the other executors, and some that know of nodes.

Actors import this module by its name, so the tests put its folder on the path of the nodes. Run as a program, it is a
coordinator: ``python cluster_training.py ADDRESS`` reports its actor's process id and then waits to be killed.
"""

import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from fake_training import FakeTrainer, FakeWorkshop, Listener, alone

from harness.errors import HardwareError
from harness.study.execute.ray.cluster import RayActors


class ClusterWorkshop(FakeWorkshop):
    @contextmanager
    def open(self, stop, *, threads, device=0):
        yield ClusterTrainer(stop, threads, device, self.payload)


class NoSuchDevice(FakeWorkshop):
    def open(self, *_, **__):
        raise HardwareError("no device 'cuda:7' on this node; use cpu")


class ClusterTrainer(FakeTrainer):
    def whereabouts(self):
        import ray

        return {"pid": os.getpid(), "node": ray.get_runtime_context().get_node_id(), "threads": self.threads}

    def wait_for(self, path):
        """Train until a file is there, or the end is asked for."""
        self.watcher.keep(self.trial, str(os.getpid()).encode())
        while not Path(path).exists():
            self.stop.check()
            time.sleep(0.02)
        return self.whereabouts()

    def look_at_the_data(self):
        tensor = torch.from_numpy(self.payload)  # a warning would end it, by PYTHONWARNINGS
        return {"sum": tensor.double().sum().item(), "shared": not self.payload.flags.writeable}


def main(address):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    executor = RayActors(ClusterWorkshop(), address=address, workers=1, threads=1, device="cpu")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    executor.submit(alone(0, "whereabouts"))
    ended = []
    while not ended:
        ended = executor.wait(Listener(), 1.0)
    print(ended[0].record.params["pid"], flush=True)
    executor.submit(alone(1, "sleep"))
    executor.wait(Listener(), 600.0)


if __name__ == "__main__":
    main(sys.argv[1])
