"""Where trials are trained: in this process, in worker processes, or on the nodes of a Ray cluster."""
