"""``training:`` and its defaults: how a candidate is trained, as far as the space does not vary it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError

from harness.errors import did_you_mean
from harness.problems import known_losses
from harness.spec.base import Frozen, OneOf

Share = Annotated[float, Field(ge=0.0, le=1.0)]

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
RULES = ("f1", "youden")
FINALS = ("auto", "refit", "keep")
OF_THE_WINNER = ("final", "calibration", "threshold")
"""The keys that are about the winner alone, so that a space cannot vary them."""
_LOSSES = OneOf(known_losses)


class Augment(Frozen):
    """Augmentation of batches of images, sounds and series during training; 0 or false turns a part off."""

    flip: bool | Literal["alternating"] = False
    """Mirror half of the images left to right; ``alternating``: each in every second epoch (arXiv:2404.00498)."""
    fill: Literal["zero", "reflect"] = "zero"
    """What moves in by ``shift`` and ``crop``: each channel's mean, or the image or series reflected at its edge."""
    shift: Share = 0.0
    """Move by up to this share of height and width, or of a series' steps."""
    crop: Annotated[int, Field(ge=0)] = 0
    """Pad by this many pixels, then crop back to size at random."""
    rotation: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    """Turn by up to this many degrees either way."""
    scale: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Resize by a factor drawn from 1 - scale to 1 + scale."""
    cutout: Share = 0.0
    """Blank a square with this share of the shorter side."""
    erase: Share = 0.0
    """Blank a rectangle of 2 to 33 % of the area in this share of the images (Zhong et al., 2020, arXiv:1708.04896)."""
    operations: Annotated[int, Field(ge=0, le=4)] = 0
    """So many operations drawn for each image: rotate, shear, move, brighten, contrast, sharpen, or none (RandAugment,
    Cubuk et al., 2020, arXiv:1909.13719)."""
    magnitude: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """How strong ``operations`` are at most; 1 turns by 30 degrees and moves by 30 % of a side."""
    mixup: Annotated[float, Field(ge=0.0, le=8.0)] = 0.0
    """Alpha of mixup's beta distribution (Zhang et al., 2018, arXiv:1710.09412); for tables too."""
    cutmix: Annotated[float, Field(ge=0.0, le=8.0)] = 0.0
    """Alpha of cutmix's beta distribution (Yun et al., 2019, arXiv:1905.04899); beside mixup, half of the samples."""
    time_mask: Share = 0.0
    """Blank up to this share of a series' steps or a sound's frames in a row (Park et al., 2019, arXiv:1904.08779)."""
    frequency_mask: Share = 0.0
    """Blank up to this share of a sound's bands in a row."""
    masks: Annotated[int, Field(ge=1, le=8)] = 1
    """How many times ``time_mask`` and ``frequency_mask`` are done; the stretches may overlap."""
    jitter: Annotated[float, Field(ge=0.0, le=8.0)] = 0.0
    """Standard deviation of the normal noise that is added to a series, in standard deviations of its channels (Um et
    al., 2017, arXiv:1706.00527)."""
    amplitude: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Multiply a series by a factor drawn from 1 - amplitude to 1 + amplitude."""


class Preprocessing(Frozen):
    """How the columns of a table come into a network, beyond what is the same for all candidates."""

    numeric: Literal["standard", "robust_clip", "quantile"] = "standard"
    """Numbers on mean and deviation; on median and quartiles, clipped smoothly (arXiv:2407.04491); or each column along
    its quantiles to a normal distribution."""
    rare: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Categories with fewer training samples share one code."""
    one_hot: Annotated[int, Field(ge=0, le=1024)] = 0
    """A column of up to so many categories becomes one of 0 and 1 for each; the others are embedded."""


class Averaged(Frozen):
    """A final model of several: the winner trained anew with so many seeds, and their predictions averaged."""

    ensemble: Annotated[int, Field(strict=True, ge=2, le=64)]


class Blended(Frozen):
    """A final model of several: the best trials as the search left them, selected so that their average is best."""

    trials: Annotated[int, Field(strict=True, ge=2, le=64)]


class Cost(Frozen):
    """What a wrong answer costs, in any unit: to say the second class where it is the first, and the other way."""

    false_positive: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    false_negative: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class Costs(Frozen):
    """A threshold by what wrong answers cost."""

    cost: Cost


Rule = Literal["f1", "youden"] | Costs
"""What the threshold of two classes makes best on validation."""


def _threshold(value: object) -> object:
    """Say in one line what may stand here, as :func:`_final` does."""
    if value is None or isinstance(value, Costs) or value in RULES:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0.0 < value <= 1.0:
        return float(value)
    try:
        return Costs.model_validate(value)
    except ValidationError:
        raise ValueError(
            "expected a probability above 0 and up to 1, f1, youden, or {cost: {false_positive: X, false_negative: Y}} "
            f"with costs above 0, got {value!r}"
        ) from None


Final = Literal["auto", "refit", "keep"] | Averaged | Blended
"""What may become of the winner."""


def _final(value: object) -> object:
    """Say in one line what may stand here; pydantic's own findings would tell of each alternative."""
    if isinstance(value, Averaged | Blended) or value in FINALS:
        return value
    known = f"{', '.join(FINALS)}, {{ensemble: N}} or {{trials: N}}"
    if isinstance(value, str):
        hint = did_you_mean(value, FINALS)
        raise ValueError(f"{value!r} is not one of {known}{hint if 'mean' in hint else ''}")
    form = Blended if isinstance(value, dict) and "trials" in value else Averaged
    try:
        return form.model_validate(value)
    except ValidationError:
        raise ValueError(f"expected {known}, with N from 2 to 64, got {value!r}") from None


class Training(Frozen):
    """Everything about training but the architecture, the optimiser and the schedule."""

    batch_size: Annotated[int, Field(ge=1, le=1_048_576)] | Literal["auto"] = 128
    """``auto``: the smallest that trains within 5 % of the best number of samples a second, of those that fit."""
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    """``auto``: the one measured to be fastest of those that do not hurt the loss."""
    loss: Annotated[str, BeforeValidator(_LOSSES.check), Field(json_schema_extra=_LOSSES.describe)] = "auto"
    """``auto``: cross-entropy for classes, MSE for values. ``binary`` is one logit for two classes."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    sampling: Literal["random", "balanced"] = "random"
    """``balanced``: an epoch has as many samples of each class, those of a rare one several times."""
    l1: Annotated[float, Field(ge=0.0)] = 0.0
    """Factor of the sum of absolute weights (not norms, not biases) added to the loss."""
    clip_norm: Annotated[float, Field(ge=0.0)] = 0.0
    """Largest global gradient norm; 0 does not clip."""
    patience: Annotated[int, Field(ge=0)] = 0
    """At a constant rate, stop after this many epochs without improvement on validation; 0 never stops early."""
    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """How many, at most ``budget.epochs``, with the schedule running over just these; none: all of those."""
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay of a moving average of the weights over the steps, which is what is measured and kept; 0: none."""
    swa: Share = 0.0
    """Share of the last steps whose weights are averaged evenly (with ``ema``: from where on); 0: none."""
    augment: Augment = Augment()
    preprocessing: Preprocessing = Preprocessing()
    final: Annotated[Final, BeforeValidator(_final)] = "auto"
    """What becomes of the winner: trained anew on training + validation, kept as it is, or (``auto``) what a rehearsal
    on the training part shows to be no worse; or several, averaged: of the winner with other seeds, or of trials."""
    calibration: Literal["temperature", "isotonic", "none"] = "temperature"
    """How the probabilities of what is rehearsed are fitted to validation."""
    threshold: Annotated[float | Rule | None, BeforeValidator(_threshold)] = None
    """From which probability on the second of two classes is predicted: this one, or the one that is best on validation
    by F1, by Youden's J or by cost; none: the most probable class is."""

    @property
    def averages(self) -> bool:
        """Whether an average of the weights is what is measured and kept."""
        return self.ema > 0.0 or self.swa > 0.0


NESTED: Mapping[str, type[Frozen]] = {"augment": Augment, "preprocessing": Preprocessing}
"""The keys with keys of their own, of which a space may vary some while others are fixed."""
