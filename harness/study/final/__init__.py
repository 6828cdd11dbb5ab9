"""What becomes of the winner: rehearsed, then refitted, averaged or kept, scored once on the test samples, and saved.

A refit on training and validation samples has nothing left to be measured on, so its recipe is measured before, where
it can be: ``recipes`` are the lengths that it may have, ``retraining`` trains by one, ``rehearsal`` does so on the
training part alone and ``decision`` compares what came of it on validation. ``finisher`` tells the whole story.
"""

from __future__ import annotations

from harness.study.final.cost import final_cost_epochs, report_aside_s, time_aside_s
from harness.study.final.finisher import Finisher
from harness.study.final.outcome import Final

__all__ = ["Final", "Finisher", "final_cost_epochs", "report_aside_s", "time_aside_s"]
