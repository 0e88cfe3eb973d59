"""What intervals and probabilities have learned, on disk beside the models: Parquet, checked by its hash, and JSON."""

import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from fusion.calibration import Calibrator
from fusion.conformal import SETTLED, ConformalState, Curve, Curves
from fusion.walk_forward import session_of
from gpu_kernels.errors import ModelError

STATE = "signals.json"
_CURVES, _SETTLED = "interval_curves.parquet", "interval_settled.parquet"
_FORMAT = 1


@dataclass(frozen=True)
class SignalState:
    """The state of the intervals, and the calibrators of the refits that have one."""

    conformal: ConformalState
    calibrators: tuple[Calibrator, ...]


def save(state: SignalState, folder: Path) -> None:
    """Write the tables, then `signals.json`, which names them with their hashes, last."""
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for name, frame in ((_CURVES, _frame(state.conformal.curves)), (_SETTLED, state.conformal.settled)):
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="zstd")
        _write(folder / name, buffer.getvalue())
        hashes[name] = hashlib.sha256(buffer.getvalue()).hexdigest()
    calibrators = [
        {
            "refit_session": each.refit_session.isoformat(),
            "method": each.method,
            "x": each.x.tolist(),
            "logit": each.logit.tolist(),
        }
        for each in state.calibrators
    ]
    index = {"format": _FORMAT, "files": hashes, "calibrators": calibrators}
    _write(folder / STATE, json.dumps(index, indent=1).encode())


def load(folder: Path) -> SignalState:
    """The state that `save` wrote. Raises ModelError where a file is missing, changed, or not of this format."""
    hint = "point to the model folder of a finished run, or run `trifuse run` again"
    try:
        index = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if index["format"] != _FORMAT:
            raise ModelError(f"{STATE} in {folder} has format {index['format']}", allowed=str(_FORMAT), hint=hint)
        curves, settled = (_read(folder / name, index["files"][name]) for name in (_CURVES, _SETTLED))
        if settled.columns != list(SETTLED):
            raise ValueError(f"{_SETTLED} has columns {', '.join(settled.columns)}")
        return SignalState(
            ConformalState(_curves(curves), settled), tuple(_calibrator(entry) for entry in index["calibrators"])
        )
    except OSError as error:
        raise ModelError(f"signals' state in {folder} cannot be read: {error.strerror}", hint=hint) from None
    except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        said = str(error).splitlines()[0] if str(error) else repr(error)
        raise ModelError(f"signals' state in {folder} cannot be read: {said}", hint=hint) from None


def _frame(curves: Curves) -> pl.DataFrame:
    """One row per curve."""
    numbers = pl.List(pl.Float64)
    return pl.DataFrame(
        {
            "refit_session": [day.isoformat() for day, _ in curves],
            "entity": [name for _, name in curves],
            "points": [curve.points.tolist() for curve in curves.values()],
            "mass": [curve.mass.tolist() for curve in curves.values()],
            "sessions": [curve.sessions.tolist() for curve in curves.values()],
        },
        schema={
            "refit_session": pl.String,
            "entity": pl.String,
            "points": numbers,
            "mass": pl.List(numbers),
            "sessions": numbers,
        },
    )


def _curves(frame: pl.DataFrame) -> Curves:
    found: Curves = {}
    for day, name, *values in frame.select("refit_session", "entity", "points", "mass", "sessions").iter_rows():
        points, mass, sessions = (np.asarray(value, dtype=np.float64) for value in values)
        if not len(points) or mass.shape != (len(sessions), len(points)):
            raise ValueError(f"{_CURVES} holds a curve of {mass.shape} for {len(points)} points")
        found[session_of(day), name] = Curve(points, mass, sessions)
    return found


def _calibrator(stored: dict[str, Any]) -> Calibrator:
    x, logit = (np.asarray(stored[name], dtype=np.float64) for name in ("x", "logit"))
    if x.ndim != 1 or not len(x) or x.shape != logit.shape:
        raise ValueError(f"a calibrator of {x.shape} points has {logit.shape} values")
    if not (np.isfinite(x).all() and np.isfinite(logit).all() and (np.diff(x) > 0).all()):
        raise ValueError("the points of a calibrator do not rise")
    return Calibrator(session_of(stored["refit_session"]), str(stored["method"]), x, logit)


def _read(path: Path, expected: str) -> pl.DataFrame:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != expected:
        raise ValueError(f"{path.name} is not what was saved")
    return pl.read_parquet(io.BytesIO(data))


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)
