"""Golden distances: a few rows of features with what double arithmetic gives for them (docs/scene-base.md#golden-distances).

A server that is given them with a base scores these rows with its own kernels, and refuses the base when a figure differs by more than
float arithmetic can explain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .container import container_write
from .digest import digest_of
from .errors import fault_of
from .scenes import FORMAT, SEGMENTS, Anomaly, Dimension, SceneBase, read
from .scoring import features_read, standardised

ROWS_MAX = 64
Doubles = npt.NDArray[np.float64]


def distances(dimension: Dimension, z: Doubles, scenes: int) -> Doubles:
    """The least squared distance to each scene [rows, scenes], in double; 0 where it has no clusters."""
    offset = z[:, None, :] - np.asarray(dimension.centres, np.float64)
    weighted = 0.5 * np.asarray(dimension.precisions, np.float64) * offset * offset
    total = weighted.sum(axis=2) - np.asarray(dimension.offsets, np.float64)
    out = np.zeros((len(z), scenes))
    scene = np.asarray(dimension.scene)
    for s in np.unique(scene):
        out[:, s] = total[:, scene == s].min(axis=1)
    return out


def degrees(anomaly: Anomaly, z: Doubles) -> Doubles:
    """The mean over segments of the distance to the nearest point [rows], in double."""
    offset = z[:, None, :] - np.asarray(anomaly.points, np.float64)
    square = (offset * offset).sum(axis=2)
    return np.asarray(np.sqrt(square.reshape(len(z), SEGMENTS, -1).min(axis=2)).mean(axis=1))


def golden_of(base: SceneBase, features: Mapping[str, npt.ArrayLike]) -> bytes:
    """The sealed file for up to 64 rows of the base's features."""
    file = base.to_bytes()
    base = read(file)
    columns = features_read(base, features)
    rows = len(next(iter(columns.values()), []))
    if not 1 <= rows <= ROWS_MAX:
        raise fault_of("limit", f"{rows} golden rows; 1 to {ROWS_MAX} are taken")
    tensors: dict[str, Any] = {}
    for name, dimension in base.dimensions.items():
        z = standardised(dimension, columns).astype(np.float64)
        tensors[f"{name}.distances"] = distances(dimension, z, len(base.scenes))
    for name, anomaly in base.anomaly.items():
        tensors[f"anomaly_{name}.scores"] = degrees(anomaly, standardised(anomaly, columns).astype(np.float64))
    tensors["golden.features"] = np.stack(list(columns.values()), axis=1)
    about = {"format": FORMAT, "base": digest_of(file), "features": base.features}
    return container_write(about, tensors)
