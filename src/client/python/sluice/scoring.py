"""Scores of a scene base in numpy, in the order of the specification (docs/scene-base.md, kernels/kernels.h): the server's bits.

What becomes of scores (levels, verdicts, countermeasures) is the server's configuration, and not told here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .arithmetic import Floats, exp, fma, log1p
from .errors import fault_of
from .scenes import DIMENSIONS, SEGMENTS, Anomaly, Dimension, SceneBase, read

Z_LOW, Z_HIGH = np.float32(-6), np.float32(12)
EVIDENCE_MAX = np.float32(80)  # nats
CELLS_MAX = 1 << 18  # rows times clusters that are worked on at once

Array = npt.NDArray[Any]


@dataclass
class Scores:
    """One value a row, by the names of a reply: scene and runner_up (places in scene_names; 0: none), match, runner_match, risk,
    anomaly_own, anomaly_linked; distance: to the best scene, by dimension.

    Beside them evidence [rows, scenes] in double, distances [rows, scenes] by dimension (inf where a scene has no clusters), and
    degree: the raw anomaly degrees by set.
    """

    scene_names: list[str]
    scene: Array
    runner_up: Array
    match: Floats
    runner_match: Floats
    risk: Floats
    anomaly_own: Floats
    anomaly_linked: Floats
    distance: dict[str, Floats]
    evidence: npt.NDArray[np.float64]
    distances: dict[str, Floats]
    degree: dict[str, Floats]

    @property
    def scene_name(self) -> Array:
        return np.array(self.scene_names)[self.scene]


def features_read(base: SceneBase, features: Mapping[str, npt.ArrayLike]) -> dict[str, Floats]:
    out: dict[str, Floats] = {}
    rows: int | None = None
    for name in base.features:
        if name not in features:
            raise fault_of("schema", "the base needs this feature", None, name)
        values = np.asarray(features[name]).astype(np.float32)
        if values.ndim != 1 or (rows is not None and len(values) != rows):
            raise fault_of("schema", f"must be one array of {rows if rows is not None else 'all'} rows", None, name)
        if not np.isfinite(values).all():
            raise fault_of("schema", "is not finite", int((~np.isfinite(values)).argmax()), name)
        rows = len(values)
        out[name] = values
    return out


def standardised(part: Dimension | Anomaly, features: Mapping[str, Floats]) -> Floats:
    """z [rows, columns] of a dimension's or anomaly set's columns."""
    out = []
    for column, centre, scale in zip(part.columns, np.asarray(part.mean), np.asarray(part.rscale), strict=True):
        x = features[column.feature]
        if column.form == "above":
            x = np.where(x > np.float32(column.edge), np.float32(1), np.float32(0))
        elif column.form == "overshoot":
            over = (x - np.float32(column.edge)) / np.float32(column.edge_scale)
            x = log1p(np.where(over > 0, np.float32(8) * over, np.float32(0)))
        z = (x - centre) * scale
        z = np.where(z > Z_LOW, z, Z_LOW)
        out.append(np.where(z < Z_HIGH, z, Z_HIGH))
    return np.stack(out, axis=1)


def chunks(rows: int, clusters: int) -> list[slice]:
    step = max(1, CELLS_MAX // clusters)
    return [slice(first, min(first + step, rows)) for first in range(0, rows, step)]


def distances(dimension: Dimension, z: Floats, scenes: int) -> Floats:
    """The least squared distance to a cluster of each scene [rows, scenes]; inf where it has none."""
    centres, precisions = np.asarray(dimension.centres), np.asarray(dimension.precisions)
    scene, start = np.asarray(dimension.scene), -np.asarray(dimension.offsets)
    a = np.sqrt(np.float32(0.5) * precisions)
    b = -centres * a
    out = np.full((len(z), scenes), np.inf, np.float32)
    for rows in chunks(len(z), len(centres)):
        total: Floats = np.broadcast_to(start, (rows.stop - rows.start, len(centres)))
        for j in range(z.shape[1]):
            u = fma(z[rows, j, None], a[None, :, j], b[None, :, j])
            total = fma(u, u, total)
        for s in np.unique(scene):
            out[rows, s] = total[:, scene == s].min(axis=1)
    return out


def degree(anomaly: Anomaly, z: Floats) -> Floats:
    """The mean over segments of the distance to the nearest point, as a product: |c|² - 2 z·c + |z|²."""
    points = np.asarray(anomaly.points)
    squares = np.zeros(len(points))
    norm: Floats = np.zeros(len(z), np.float32)
    for j in range(z.shape[1]):
        squares += points[:, j].astype(np.float64) ** 2
        norm = fma(z[:, j], z[:, j], norm)
    weight, start = np.float32(-2) * points, squares.astype(np.float32)
    out: Floats = np.zeros(len(z), np.float32)
    for rows in chunks(len(z), len(points)):
        product: Floats = np.broadcast_to(start, (rows.stop - rows.start, len(points)))
        for j in range(z.shape[1]):
            product = fma(z[rows, j, None], weight[None, :, j], product)
        least = product.reshape(len(product), SEGMENTS, -1).min(axis=2)
        square = least + norm[rows, None]
        root = np.sqrt(np.where(square > 0, square, np.float32(0)))
        for t in range(SEGMENTS):
            out[rows] += root[:, t]
    out *= np.float32(1) / np.float32(SEGMENTS)
    return out


def calibrated(anomaly: Anomaly, raw: Floats) -> Floats:
    """The share of the reference table below the raw degree."""
    table = np.asarray(anomaly.table)
    share: Floats = np.searchsorted(table, raw, side="left").astype(np.float32) / np.float32(len(table))
    return share


def evidence_of(base: SceneBase, found: Mapping[str, Floats], rows: int) -> npt.NDArray[np.float64]:
    out = np.empty((rows, len(base.scenes)))
    for s, scene in enumerate(base.scenes):
        out[:, s] = scene.bias
        for name in DIMENSIONS:
            if name in found and (np.asarray(base.dimensions[name].scene) == s).any():
                out[:, s] -= scene.weights[name] * found[name][:, s].astype(np.float64)
    return out


def ranked(evidence: npt.NDArray[np.float64]) -> tuple[Array, Array]:
    """The two scenes of most evidence, ties to the lower place; 0: there is none."""
    rows, scenes = evidence.shape
    none = np.zeros(rows, np.intp)
    if scenes < 2:
        return none, none
    rest = evidence[:, 1:].copy()
    best = rest.argmax(axis=1)
    rest[np.arange(rows), best] = -np.inf
    return best + 1, rest.argmax(axis=1) + 1 if scenes > 2 else none


def matches(evidence: npt.NDArray[np.float64]) -> tuple[Floats, Floats]:
    """The match of each scene [rows, scenes], the background's 0; and risk, that of any scene at all."""
    difference = (evidence - evidence[:, :1]).astype(np.float32)
    difference = np.where(difference < EVIDENCE_MAX, difference, EVIDENCE_MAX)
    ratio = exp(np.where(difference > -EVIDENCE_MAX, difference, -EVIDENCE_MAX))
    ratio[:, 0] = 0
    total: Floats = np.zeros(len(ratio), np.float32)
    for s in range(1, ratio.shape[1]):
        total = total + ratio[:, s]
    return ratio / (np.float32(1) + ratio), total / (np.float32(1) + total)


def score(base: SceneBase, features: Mapping[str, npt.ArrayLike]) -> Scores:
    base = read(base.to_bytes())  # as the server would have it
    columns = features_read(base, features)
    rows = len(next(iter(columns.values()))) if columns else 0
    found = {name: distances(dimension, standardised(dimension, columns), len(base.scenes)) for name, dimension in base.dimensions.items()}
    raw = {name: degree(anomaly, standardised(anomaly, columns)) for name, anomaly in base.anomaly.items()}
    evidence = evidence_of(base, found, rows)
    best, second = ranked(evidence)
    match, risk = matches(evidence)
    at, nothing = np.arange(rows), np.zeros(rows, np.float32)
    to_best = {name: values[at, best] for name, values in found.items()}
    told = {name: np.where((best > 0) & np.isfinite(values), values, np.float32(0)) for name, values in to_best.items()}
    shares = {name: calibrated(base.anomaly[name], values) for name, values in raw.items()}
    return Scores(
        [scene.name for scene in base.scenes],
        best,
        second,
        match[at, best],
        np.minimum(match[at, second], match[at, best]),
        risk,
        shares.get("own", nothing),
        shares.get("linked", nothing),
        {name: told.get(name, nothing) for name in DIMENSIONS},
        evidence,
        found,
        raw,
    )
