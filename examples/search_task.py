"""Search a built-in task and read the result in Python.

Takes about half a minute. From the top of the checkout: ``python examples/search_task.py``.
"""

import harness

result = harness.search("digits", trials=4, overrides=["budget.epochs=5"])

print(result.trials[["trial", "architecture", "value", "parameters", "latency_p50_ms"]].to_string(index=False))
if result.best is not None:
    print("winner:", result.best["params"])
print(f"test accuracy {result.test['accuracy']:.3f}; report: {result.report}")
for warning in result.warnings:
    print(f"{warning.code}: {warning.text}")
