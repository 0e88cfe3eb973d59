"""What is remembered of a lot: what its last images showed, cell by cell."""

import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpu_kernels.errors import DataError
from sources.imagery.lot_quality import Shown, is_reference

Numbers = np.ndarray[Any, np.dtype[np.float64]]

_CELLS = ("contrast", "mean", "valid")
_IMAGES = ("level", "surround", "saturated")
_NEVER = -(2**63)


@dataclass(frozen=True, slots=True)
class Past:
    """Images of one lot in the order in which they became known: [images, cells] and [images], as cell_contrast gives
    them, whether each may be a reference, and when the last one was known."""

    contrast: Numbers
    mean: Numbers
    valid: Numbers
    level: Numbers
    surround: Numbers
    saturated: Numbers
    use: np.ndarray[Any, np.dtype[np.bool_]]
    known: int = _NEVER

    @classmethod
    def none(cls, cells: int) -> "Past":
        by_cell, by_image = np.zeros((0, cells)), np.zeros(0)
        return cls(by_cell, by_cell, by_cell, by_image, by_image, by_image, np.zeros(0, bool))

    def with_images(self, shown: Shown, known: int, window: int) -> "Past":
        """The images behind those that were there, each judged as a reference by the `window` before it."""
        joined = {name: np.concatenate([getattr(self, name), getattr(shown, name)]) for name in (*_CELLS, *_IMAGES)}
        use = np.concatenate([self.use, np.zeros(len(shown.level), bool)])
        past = Past(**joined, use=use, known=known)
        for image in range(len(self.use), len(use)):
            use[image] = is_reference(past.shown(image), past.before(image).last(window))
        return past

    def last(self, count: int) -> "Past":
        return self._cut(slice(max(0, len(self.use) - count), None))

    def before(self, image: int) -> "Past":
        return self._cut(slice(0, image))

    def shown(self, image: int) -> Shown:
        return Shown(*(getattr(self, name)[image] for name in (*_CELLS, *_IMAGES)))

    def _cut(self, part: slice) -> "Past":
        return replace(self, **{name: getattr(self, name)[part] for name in (*_CELLS, *_IMAGES, "use")})


def save_pasts(path: Path, pasts: Mapping[str, Past], key: str) -> None:
    """NumPy's .npz without pickle, written beside and renamed."""
    names = (*_CELLS, *_IMAGES, "use")
    arrays = {f"{number}_{name}": getattr(past, name) for number, past in enumerate(pasts.values()) for name in names}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as stream:
            np.savez_compressed(
                stream,
                key=np.array(key),
                sites=np.array(list(pasts), dtype=np.str_),
                known=np.array([past.known for past in pasts.values()], np.int64),
                **arrays,
            )
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def load_pasts(path: Path, cells: Mapping[str, int], key: str) -> dict[str, Past]:
    """The pasts of those of the lots that the file holds. Raises DataError for a file that cannot be read, of other
    parameters, or of lots with other cells."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
            told, sites, known = str(stored["key"]), stored["sites"].tolist(), stored["known"].tolist()
            pasts = {
                site: Past(
                    **{name: stored[f"{number}_{name}"] for name in (*_CELLS, *_IMAGES, "use")},
                    known=int(known[number]),
                )
                for number, site in enumerate(sites)
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}", allowed="a state that LotWatch.save wrote") from error
    if told != key:
        raise DataError(f"{path} is the state of {told}", allowed=key, hint="start from the images again")
    for site, past in pasts.items():
        if site in cells and past.contrast.shape[1] != cells[site]:
            raise DataError(
                f"{path} holds {past.contrast.shape[1]} cells of lot {site}",
                allowed=f"{cells[site]}, as the lot has now",
                hint="start from the images again",
            )
    return {site: past for site, past in pasts.items() if site in cells}
