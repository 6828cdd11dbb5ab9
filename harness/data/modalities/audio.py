"""Sounds: their log-mel spectrograms as float32 images ``x_N1MF``, standardised as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict, override

from harness.data.features import Fault, Features, Outline, block_means
from harness.data.files import existing_file
from harness.data.fitted import Target
from harness.data.modalities.raw import codes_of_equal
from harness.data.modality import Modality, Prepared
from harness.data.part import Normalise
from harness.data.sounds import Sounds, frames_of, log_mel
from harness.data.sources.audio_folder import read_waves
from harness.data.unusual import Unusual
from harness.errors import DataError
from harness.records import Input, image_inputs

_NEARLY_ALL, _LONGEST_S = 0.95, 10.0
"""Share of the training recordings that are heard to their end, and seconds at most, where the task does not say."""
_MOST_SAMPLES = 60 * 192_000
_BLOCKS = 16
"""Means over time that copies of a sound are known by."""
_BELOW_LOUDEST = 12.0
"""Natural logarithms of power (52 dB) below which a sound counts as silent beside its loudest moment."""
_SILENT = 1e-4
"""Of full scale."""


class Audio(TypedDict):
    """Of sounds: samples a second, samples that are heard, bands, and mean and deviation of their logarithms."""

    inputs: Literal["audio"]
    rate: Annotated[int, Field(ge=2_000, le=192_000)]
    samples: Annotated[int, Field(ge=1, le=_MOST_SAMPLES)]
    mels: Annotated[int, Field(ge=8, le=256)]
    longer: float
    mean: float
    std: float
    target: Target


class AudioModality(Modality[Sounds]):
    """A recording a sample."""

    name = "audio"
    raw = Sounds
    form: ClassVar[type] = Audio

    @override
    def take(self, raw: Sounds, rows: np.ndarray, what: str) -> Sounds:
        """Return some of the sounds."""
        return raw.only(rows)

    def alike(self, raw: Sounds) -> np.ndarray:
        """Tell sounds of the same samples."""
        return codes_of_equal(raw.waves)

    @override
    def fit(self, raw: Sounds, rows: np.ndarray, what: str) -> dict[str, Any]:
        """Return how long nearly all recordings are, and mean and deviation of their spectrograms."""
        how, some = raw.how, raw.only(rows)
        lengths = np.array([len(wave) for wave in some.waves])
        if how.seconds == "auto":
            samples = min(int(np.quantile(lengths, _NEARLY_ALL, method="higher")), round(_LONGEST_S * how.rate))
        else:
            samples = max(1, round(how.seconds * how.rate))
        shape = {"rate": how.rate, "samples": samples, "mels": how.mels}
        x_N1MF = log_mel(some.waves, **shape)
        std = float(x_N1MF.std(dtype=np.float64))
        if not std:
            raise DataError(f"{what}: every training recording is silent; name another folder")
        mean, longer = float(x_N1MF.mean(dtype=np.float64)), float((lengths > samples).mean())
        return {"inputs": "audio", **shape, "longer": longer, "mean": mean, "std": std}

    def inputs(self, fitted: Mapping[str, Any]) -> tuple[Input, ...]:
        """Return the only input, an image of bands x frames."""
        return image_inputs(1, fitted["mels"], frames_of(fitted["samples"], fitted["rate"]))

    @override
    def prepare(self, fitted: Mapping[str, Any], raw: Any, unusual: Unusual) -> Prepared:
        """Return the spectrograms of sounds, of recordings as files, or of arrays at the rate of training."""
        shape = {name: fitted[name] for name in ("rate", "samples", "mels")}
        return Prepared((log_mel(_waves(fitted, raw), **shape),), Normalise((fitted["mean"],), (fitted["std"],)))

    def width(self, fitted: Mapping[str, Any]) -> int:
        """Return the samples of a recording."""
        return int(fitted["samples"])

    @override
    def features(self, fitted: Mapping[str, Any], inputs: Sequence[np.ndarray]) -> Features:
        """Return mean and standard deviation of each mel band."""
        x_NMF = inputs[0][:, 0]
        figures = {"mean": x_NMF.mean(axis=2), "standard deviation": x_NMF.std(axis=2)}
        names = [f"{figure} of mel band {band}" for figure in figures for band in range(1, x_NMF.shape[1] + 1)]
        return Features(np.concatenate(list(figures.values()), axis=1), tuple(names))

    @override
    def outline(self, fitted: Mapping[str, Any], inputs: Sequence[np.ndarray]) -> Outline:
        """Return how each mel band goes, less the loudest moment, so that it does not matter how loud a copy is."""
        x_NFM = inputs[0][:, 0].swapaxes(1, 2)
        loudest_N11 = x_NFM.max(axis=(1, 2), keepdims=True)
        silent_N = x_NFM.min(axis=(1, 2)) == loudest_N11[:, 0, 0]
        values = block_means(np.maximum(x_NFM - loudest_N11, -_BELOW_LOUDEST), _BLOCKS).reshape(len(x_NFM), -1)
        values[silent_N] = np.nan
        return Outline(values)

    @override
    def traits(self, raw: Sounds) -> dict[str, np.ndarray]:
        """Return how long recordings are, and how loud."""
        seconds = np.array([len(wave) / raw.how.rate for wave in raw.waves])
        loud = np.array(
            [np.sqrt(np.mean(np.square(wave), dtype=np.float64)) if len(wave) else 0.0 for wave in raw.waves]
        )
        return {"the length in seconds": seconds, "the loudness (root mean square)": np.maximum(loud, _SILENT)}

    @override
    def faults(self, raw: Sounds) -> Iterator[Fault]:
        """Yield silent recordings."""
        yield Fault(
            "empty",
            "are silent",
            "look whether they were recorded, and remove them, or keep them as a class of their own",
            np.array([np.abs(wave).max(initial=0.0) < _SILENT for wave in raw.waves], np.bool_),
        )

    @override
    def remarks(self, fitted: Mapping[str, Any]) -> tuple[str, ...]:
        """Say how much of the recordings is heard."""
        longer = f"; {fitted['longer']:.1%} of those of training are longer, and are cut" if fitted["longer"] else ""
        return (f"recordings are heard for {fitted['samples'] / fitted['rate']:.4g} s{longer}",)


def _waves(fitted: Mapping[str, Any], raw: Any) -> Sequence[np.ndarray]:
    if isinstance(raw, Sounds):
        return raw.waves
    if isinstance(raw, str | Path):
        raise DataError("raw samples are a single path; give a list of recordings")
    if all(isinstance(each, str | Path) for each in raw):
        return read_waves([existing_file(Path(each)) for each in raw], fitted["rate"])
    waves = [np.asarray(each, np.float32) for each in raw]
    if any(wave.ndim != 1 or not len(wave) or not np.isfinite(wave).all() for wave in waves):
        raise DataError(
            f"raw sounds must be arrays of finite numbers, one channel at {fitted['rate']:,} samples a second"
        )
    return waves
