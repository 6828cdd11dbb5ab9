"""Compare two architectures on the handwritten digits: which is better, how sure that is, and what each costs.

A small comparison, to see how it goes: two candidates of each, seven seeds, few epochs. For an answer leave out the
options: ``harness compare digits``. Takes about a minute. From the top of the checkout:
``python examples/compare_architectures.py``.
"""

import harness

result = harness.compare(
    "digits", families=["mlp", "cnn"], trials=2, seeds=7, margin=1.0, overrides=["budget.epochs=4"]
)

print(result.verdict)
print(result.families[["name", "mean", "low", "high", "parameters", "latency_ms"]].to_string(index=False))
print(f"report: {result.report}")
