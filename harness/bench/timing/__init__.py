"""How workloads are timed: clocks, blocks, rounds, and what the machine was like meanwhile."""
