"""What the end of a command takes, so that time can be set aside for it: making the final model, and the report."""

from __future__ import annotations

from math import ceil

from harness.records import Plan, TrialRecord
from harness.spec import Averaged, Blended, Candidate
from harness.study.final.recipes import by_schedule, recipes
from harness.study.job import Job
from harness.study.keeping import MOST_TRIALS
from harness.study.trial.building import REFIT_MARGIN, refit_growth, stages_of

FINAL_SHARE = 1 / 3
"""Of the time of the command, what is set aside at most for a final model that is rehearsed."""
LOOK = 0.35
"""Of an epoch, what a look at the validation and the test samples with one of its models takes an average of trials."""
STACK_GAIN = 8.0
"""Times its share of a program that a training takes alone, at most: what was measured of small MLPs."""
REPORT_S = 6.0
REPORT_TRIAL_S = 0.02
"""What writing everything down takes: the frames, the report with its plots, the digests; and more for each trial."""
REPORT_START = 0.6
"""Times the start of the command, which a slow or a busy machine draws out as it does the end."""
REPORT_SHARE = 0.2
"""Of the time of the command, what is set aside for that at most."""


def report_aside_s(job: Job, trials: int, start_s: float) -> float:
    """Return the seconds to keep for writing down what so many trials have left, and for the end of the program.

    ``start_s`` is what it took to begin: imports, data, checks.
    """
    given_s = job.spec.budget.time
    needed_s = max(REPORT_S, REPORT_START * start_s) + REPORT_TRIAL_S * trials
    return needed_s if given_s is None else min(needed_s, REPORT_SHARE * given_s)


def members_of(job: Job, winner: TrialRecord) -> int:
    """Return how many models the final one was asked to be made of; 1 of those that are fitted, mostly to no chance."""
    final = job.final
    trained = not stages_of(Candidate.from_dict(winner.candidate))
    return final.ensemble if isinstance(final, Averaged) and trained else 1


def beside_each_other(job: Job, plan: Plan | None) -> bool:
    """Tell whether trainings by a plan take place beside each other, where there is who helps: on a thread each."""
    return job.device.type == "cpu" and plan is not None and plan.threads == 1


def rehearsal_epochs(job: Job, winner: TrialRecord, members: int, at_once: int = 1) -> int:
    """Return how many epochs the rehearsals take at most, one after the other, if so many are trained at once."""
    if job.final in ("refit", "keep") or isinstance(job.final, Blended):
        return 0
    runs = [shared[-1].until for shared in by_schedule(recipes(job, winner)).values()]
    singles = sum(runs) if at_once == 1 else max(runs) * ceil(len(runs) / at_once)
    return singles + ceil((members - 1) / at_once) * max(runs)


def refit_cost_epochs(job: Job, winner: TrialRecord, members: int, at_once: int = 1) -> float:
    """Return how many of the winner's epochs its refits on more samples take, with a margin."""
    final, lengths = job.final, [recipe.until for recipe in recipes(job, winner)]
    if final == "keep":
        return 0.0
    if isinstance(final, Blended):
        return LOOK * final.trials
    return ceil(members / at_once) * refit_growth(job) * (lengths[0] if final == "refit" else max(lengths))


def final_cost_epochs(job: Job, winner: TrialRecord, members: int | None = None, helpers: int = 1) -> float:
    """Return how many of the winner's epochs making the final model takes: rehearsals and refits, with a margin.

    ``helpers``: how many trainings there may be at once.
    """
    members, at_once = members or members_of(job, winner), helpers if beside_each_other(job, winner.plan) else 1
    rehearsals = REFIT_MARGIN * rehearsal_epochs(job, winner, members, at_once)
    return rehearsals + refit_cost_epochs(job, winner, members, at_once)


def epoch_seconds(winner: TrialRecord) -> float:
    """Return the seconds of one of the winner's epochs alone, with its validation: at most, where it was in a program.

    Alone it takes no longer than the whole program did.
    """
    share_s = winner.figures.get("epoch_s", winner.seconds / max(1, winner.epochs))
    return share_s * min(1.0 + winner.shared_with, STACK_GAIN)


def time_aside_s(job: Job, winner: TrialRecord, helpers: int = 1, trials: int = MOST_TRIALS) -> float:
    """Return the seconds to keep for the final model, if there may be so many trainings of it at once.

    ``trials``: how many there may be to average.

    What is rehearsed may come to keep the weights anyway: where it would take more than ``FINAL_SHARE`` of all the time
    the search makes better use of it. An average has as many members as that is enough for.
    """
    needed_s = [
        epoch_seconds(winner) * final_cost_epochs(job, winner, members, helpers)
        for members in range(members_of(job, winner), 0, -1)
    ]
    if job.spec.budget.time is None or job.final in ("keep", "refit"):
        return needed_s[0]
    most_s = FINAL_SHARE * job.spec.budget.time
    if isinstance(job.final, Blended):
        return min(needed_s[0] * min(1.0, trials / job.final.trials), most_s)
    return next((each_s for each_s in needed_s if each_s <= most_s), 0.0)
