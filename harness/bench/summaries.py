"""What each benchmark measures, in words; names the groups without loading them."""

from __future__ import annotations

from collections.abc import Mapping

SUMMARIES: Mapping[str, str] = {
    "matmul": "matrix products over sizes and precisions",
    "threads": "a matrix product over the number of CPU threads",
    "conv3x3": "3x3 convolutions in both memory layouts",
    "attention": "scaled dot-product attention",
    "lstm_cell": "one step of an LSTM cell",
    "copy": "copying in memory, beyond the cache and in it",
    "triad": "a + s * b in memory, beyond the cache and in it",
    "reduction": "the sum of an array",
    "host_to_device": "copies from the host to the device, pinned and not",
    "launch": "overhead of launching the smallest kernel",
    "graph_replay": "overhead of replaying it as a CUDA graph",
    "fetch": "fetching batches to the device: resident, with a DataLoader, with workers",
    "train_step": "training steps of the reference models",
    "inference": "inference of the reference models",
    "largest_batch": "the largest batch of each reference model that fits in memory",
}
