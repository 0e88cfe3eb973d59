"""Models on disk: LightGBM's own text, and JSON for the rest, which gives every float64 back as it was."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fusion.horizon import horizon_name, parse_horizon
from fusion.model.learner import RegimeLearner, Tuned
from fusion.model.mixture import RefitModel
from fusion.walk_forward import session_of
from gpu_kernels.errors import ModelError

INDEX = "models.json"
_FORMAT = 3


def save(models: Sequence[RefitModel], folder: Path) -> None:
    """Write each LightGBM model as its own text file, then `models.json`, which names them all, last."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for model in models:
        learners: list[dict[str, Any] | None] = []
        for k, learner in enumerate(model.learners):
            if learner is None:
                learners.append(None)
                continue
            name = f"{model.refit_session.isoformat().replace(':', '')}_{k}.txt"
            _write(folder / name, learner.trees)
            learners.append(
                {
                    "file": name,
                    "sha256": hashlib.sha256(learner.trees.encode()).hexdigest(),
                    "features": list(learner.features),
                    "scale": learner.scale,
                    "rows": learner.rows,
                    "centre": learner.centre.tolist(),
                    "spread": learner.spread.tolist(),
                    "coefficients": learner.coefficients.tolist(),
                    "intercept": learner.intercept,
                    "tuned": None if learner.tuned is None else asdict(learner.tuned),
                }
            )
        entries.append(
            {
                "refit_session": model.refit_session.isoformat(),
                "horizon": horizon_name(model.horizon),
                "min_mass": model.min_mass,
                "learners": learners,
            }
        )
    _write(folder / INDEX, json.dumps({"format": _FORMAT, "models": entries}, indent=1))


def load(folder: Path) -> list[RefitModel]:
    """The models that `save` wrote. Raises ModelError where a file is missing, changed, or not of this format."""
    hint = "point to the model folder of a finished run, or run `trifuse run` again"
    try:
        stored = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if stored["format"] != _FORMAT:
            raise ModelError(f"models in {folder} have format {stored['format']}", allowed=str(_FORMAT), hint=hint)
        return [
            RefitModel(
                refit_session=session_of(entry["refit_session"]),
                horizon=parse_horizon(entry["horizon"]),
                min_mass=float(entry["min_mass"]),
                learners=tuple(None if learner is None else _read(folder, learner) for learner in entry["learners"]),
            )
            for entry in stored["models"]
        ]
    except OSError as error:
        raise ModelError(f"models in {folder} cannot be read: {error.strerror}", hint=hint) from None
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"models in {folder} cannot be read: {error!r}", hint=hint) from None


def _read(folder: Path, stored: dict[str, Any]) -> RegimeLearner:
    # read as it was written: a text mode would turn line ends, and the hash would not fit
    trees = (folder / Path(stored["file"]).name).read_bytes()
    if hashlib.sha256(trees).hexdigest() != stored["sha256"]:
        raise ValueError(f"{stored['file']} is not what was saved")
    features = tuple(str(name) for name in stored["features"])
    arrays = {name: np.asarray(stored[name], dtype=np.float64) for name in ("centre", "spread", "coefficients")}
    if any(array.shape != (len(features),) for array in arrays.values()) or (
        f"\nmax_feature_idx={len(features) - 1}\n".encode() not in trees
    ):
        raise ValueError(f"{stored['file']} and the ridge are not of {len(features)} features")
    return RegimeLearner(
        features=features,
        scale=float(stored["scale"]),
        rows=int(stored["rows"]),
        trees=trees.decode(),
        **arrays,
        intercept=float(stored["intercept"]),
        tuned=None if stored["tuned"] is None else _tuned(stored["tuned"]),
    )


def _tuned(stored: dict[str, Any]) -> Tuned:
    settings = tuple((str(name), value) for name, value in stored["settings"])
    return Tuned(settings, float(stored["rank_ic"]), int(stored["points"]))


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(text.encode())
    os.replace(temporary, path)
