"""Scene bases as numpy arrays: read, check, make, write and score with them (docs/scene-base.md).

>>> base = SceneBase(
...     name="mine", version="1",
...     scenes=[Scene("background", weights={"social": 1}),
...             Scene("terminal", risk_type="compromised_terminal", bias=-3, weights={"social": 1}, threshold=0.5)],
...     dimensions={"social": Dimension([Column("payee_risk_7d")], centres=[[0], [6]], precisions=[[1], [1]], offsets=[0, 0],
...                                     scene=[0, 1], mean=[0], rscale=[8])})
>>> again = read(base.to_bytes())
>>> again.scenes[1].name, again.dimensions["social"].centres.tolist()
('terminal', [[0.0], [6.0]])
>>> scores = again.score({"payee_risk_7d": [0.0, 0.5]})
>>> scores.scene_name.tolist(), [f"{match:.6f}" for match in scores.match]
(['terminal', 'terminal'], ['0.000000', '0.952574'])
>>> base.dimensions["social"].rscale = [0]
>>> base.check()
Traceback (most recent call last):
    ...
sluice.errors.ModelFault: model: tensor social.rscale: a value is not finite or out of bounds
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .catalogue import FEATURES
from .container import Container, container_read, container_write, json_read, refuse, seal_check
from .digest import digest_of

if TYPE_CHECKING:
    from .scoring import Scores

FORMAT = 1
DIMENSIONS = ("transaction", "device", "behaviour", "social")
ANOMALY_SETS = ("own", "linked")
FORMS = ("value", "overshoot", "above")
SCENES_MAX = 32  # background included
COLUMNS_MAX = 128
CLUSTERS_MAX = 4096
TABLE_MAX = 4096
SEGMENTS = 64
INPUT_MAX = 1e9  # means, edges
SCALE_MIN = 1e-9  # rscale, edge_scale, thresholds
CENTRE_MAX = 1e3
PRECISION_MAX = 1e6
WEIGHT_MAX = 1e6  # weights, biases, offsets
NAME_BYTES_MAX = 63
EDGES = 9
FAR_MAX = 1e15

Values = npt.ArrayLike
Array = npt.NDArray[Any]


@dataclass
class Column:
    """A feature in one of three forms: value; overshoot, log1p(8 · max(0, (x - edge) / edge_scale)); above, 1 where x > edge."""

    feature: str
    form: str = "value"
    edge: float = 0.0
    edge_scale: float = 1.0

    def told(self) -> dict[str, Any]:
        out: dict[str, Any] = {"feature": self.feature, "form": self.form}
        if self.form != "value":
            out["edge"] = float(self.edge)
        if self.form == "overshoot":
            out["edge_scale"] = float(self.edge_scale)
        return out


@dataclass
class Scene:
    """A named kind of risk; scene 0 is the background, which needs no risk_type and no threshold."""

    name: str
    bias: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    risk_type: str = ""
    threshold: float = 0.0


@dataclass
class Dimension:
    """Clusters of all scenes: centres and precisions [clusters, columns], offsets and scene [clusters], mean and rscale [columns]."""

    columns: Sequence[Column]
    centres: Values
    precisions: Values
    offsets: Values
    scene: Values
    mean: Values
    rscale: Values


@dataclass
class Anomaly:
    """64 subsamples of n points behind each other [64 · n, columns]; table: ascending raw degrees of reference rows."""

    columns: Sequence[Column]
    points: Values
    mean: Values
    rscale: Values
    table: Values
    threshold: float


@dataclass
class Reference:
    """What the base was built on; traffic is held against it (drift). A row's value lies in the bin of how many edges are below it.

    edges [features, 9] not falling, counts [features, 10] of background rows in each bin, known [features, 2] where the feature is
    known and is not, scenes [scenes] of later rows by the scene whose threshold they reach (0: none), far [4] and distances [4, 2] by
    dimension: from which distance on a row is far from all clusters, and background rows that are near, and far.
    """

    features: Sequence[str]
    edges: Values
    counts: Values
    known: Values
    scenes: Values
    far: Values
    distances: Values


@dataclass
class SceneBase:
    """A scene base. What it holds is checked by check, to_bytes and write, and was checked where read gave it."""

    name: str
    version: str
    scenes: Sequence[Scene]
    dimensions: Mapping[str, Dimension] = field(default_factory=dict)
    anomaly: Mapping[str, Anomaly] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    reference: Reference | None = None

    @property
    def features(self) -> list[str]:
        """The features that scoring with it needs, in the catalogue's order."""
        sets: list[Dimension | Anomaly] = [*self.dimensions.values(), *self.anomaly.values()]
        used = {column.feature for part in sets for column in part.columns}
        return [name for name in FEATURES if name in used]

    def to_bytes(self) -> bytes:
        """The sealed file; raises ModelFault where the server would refuse it."""
        file = container_write(self._about(), self._tensors())
        read(file)
        return file

    def check(self) -> None:
        """Raises ModelFault where the server would refuse it, with the place and the reason."""
        self.to_bytes()

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the file: beside its place first, so that it is there whole or not at all."""
        target = pathlib.Path(path)
        beside = target.with_name(target.name + ".new")
        beside.write_bytes(self.to_bytes())
        os.replace(beside, target)

    def digest(self) -> str:
        """XXH3-128 of the file, by which the server names the base."""
        return digest_of(self.to_bytes())

    def golden(self, features: Mapping[str, Values]) -> bytes:
        """The file of golden distances for up to 64 rows of features: whoever loads the base checks its arithmetic by them."""
        from .golden import golden_of

        return golden_of(self, features)

    def score(self, features: Mapping[str, Values]) -> Scores:
        """What the server would record of rows with these features, bit for bit: arrays of one value a row, by name."""
        from .scoring import score

        return score(self, features)

    def _about(self) -> dict[str, Any]:
        used = [name for name in DIMENSIONS if name in self.dimensions] + [name for name in self.dimensions if name not in DIMENSIONS]
        told: dict[str, Any] = {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "dimensions": {name: [column.told() for column in self.dimensions[name].columns] for name in used},
            "scenes": [self._scene(place, scene) for place, scene in enumerate(self.scenes)],
            "anomaly": {
                name: {"columns": [column.told() for column in anomaly.columns], "threshold": float(anomaly.threshold)}
                for name, anomaly in self.anomaly.items()
            },
            "provenance": dict(self.provenance),
            "metrics": dict(self.metrics),
        }
        return {**told, "reference": {"features": list(self.reference.features)}} if self.reference else told

    @staticmethod
    def _scene(place: int, scene: Scene) -> dict[str, Any]:
        told: dict[str, Any] = {
            "name": scene.name,
            "bias": float(scene.bias),
            "weights": {name: float(weight) for name, weight in scene.weights.items()},
        }
        return {**told, "risk_type": scene.risk_type, "threshold": float(scene.threshold)} if place else told

    def _tensors(self) -> dict[str, Array]:
        out: dict[str, Array] = {}
        for name, dimension in self.dimensions.items():
            for part in ("centres", "precisions", "offsets", "mean", "rscale"):
                out[f"{name}.{part}"] = np.asarray(getattr(dimension, part), np.float32)
            out[f"{name}.scene"] = indices(name, dimension.scene)
        for name, anomaly in self.anomaly.items():
            for part in ("points", "mean", "rscale", "table"):
                out[f"anomaly_{name}.{part}"] = np.asarray(getattr(anomaly, part), np.float32)
        if self.reference:
            for part in ("edges", "far"):
                out[f"reference.{part}"] = np.asarray(getattr(self.reference, part), np.float32)
            for part in ("counts", "known", "scenes", "distances"):
                out[f"reference.{part}"] = whole(f"reference.{part}", getattr(self.reference, part)).astype(np.uint32)
        return out


def whole(name: str, given: Values) -> Array:
    values = np.asarray(given)
    if values.dtype.kind not in "iu" or (values.size and not 0 <= values.min() <= values.max() < 1 << 32):
        raise refuse(f"tensor {name}: not whole numbers below 2^32")
    return values


def indices(name: str, scene: Values) -> Array:
    values = whole(f"{name}.scene", scene)
    return values.astype(np.uint8 if not values.size or values.max() < 256 else np.uint32)


# --- reading ---------------------------------------------------------------------------------------------------------------


def read(source: bytes | str | os.PathLike[str]) -> SceneBase:
    """The base of a file or of its bytes; raises ModelFault where the server would refuse it."""
    file = source if isinstance(source, bytes) else pathlib.Path(source).read_bytes()
    container = container_read(file)
    about = json_read(container.metadata.encode(), "metadata")
    seal_check(file, about)
    base = metadata_read(about)
    tensors = Tensors(container)
    for name, dimension in base.dimensions.items():
        take_dimension(tensors, name, dimension, len(base.scenes))
    for name, anomaly in base.anomaly.items():
        take_anomaly(tensors, f"anomaly_{name}", anomaly)
    if base.reference:
        take_reference(tensors, base.reference, base)
    tensors.none_left()
    return base


def number(place: str, told: Any, key: str, least: float, most: float) -> float:
    value = told.get(key) if isinstance(told, dict) else None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
        raise refuse(f"{place}: {key} is not a number from {least:g} to {most:g}")
    return float(np.float32(value))


def text(place: str, told: Any, key: str) -> str:
    value = told.get(key) if isinstance(told, dict) else None
    if not isinstance(value, str) or not 1 <= len(value.encode()) <= NAME_BYTES_MAX:
        raise refuse(f"{place}: {key} is not a text of 1 to {NAME_BYTES_MAX} bytes")
    if any(character < " " or character == "\x7f" for character in value):
        raise refuse(f"{place}: {key} holds a control character")
    return value


def column_read(place: str, told: Any) -> Column:
    entry = told if isinstance(told, dict) else {}
    feature, form = entry.get("feature"), entry.get("form")
    if not isinstance(feature, str) or feature not in FEATURES:
        raise refuse(f"{place}: feature {feature if isinstance(feature, str) else '(none)'} is not in this catalogue")
    if not isinstance(form, str) or form not in FORMS:
        raise refuse(f"{place}: form is not value, overshoot or above")
    column = Column(feature, form)
    if form != "value":
        column.edge = number(place, entry, "edge", -INPUT_MAX, INPUT_MAX)
    if form == "overshoot":
        column.edge_scale = number(place, entry, "edge_scale", SCALE_MIN, INPUT_MAX)
    return column


def columns_read(place: str, told: Any) -> list[Column]:
    if not isinstance(told, list) or not 1 <= len(told) <= COLUMNS_MAX:
        raise refuse(f"{place}: not an array of 1 to {COLUMNS_MAX} columns")
    return [column_read(f"{place}[{at}]", entry) for at, entry in enumerate(told)]


def metadata_read(about: Any) -> SceneBase:
    """The base without its tensors."""
    told = about if isinstance(about, dict) else {}
    if type(told.get("format")) is not int or told["format"] != FORMAT:
        raise refuse(f"metadata: format is not {FORMAT}")
    name, version = text("metadata", told, "name"), text("metadata", told, "version")
    dimensions: dict[str, Dimension] = {}
    for key, columns in mapping("dimensions", told.get("dimensions")).items():
        if key not in DIMENSIONS:
            raise refuse(f"dimensions: {key} is not a dimension")
        dimensions[key] = Dimension(columns_read(f"dimensions.{key}", columns), [], [], [], [], [], [])
    dimensions = {key: dimensions[key] for key in DIMENSIONS if key in dimensions}
    scenes = scenes_read(told.get("scenes"), dimensions)
    anomaly: dict[str, Anomaly] = {}
    for key, entry in mapping("anomaly", told.get("anomaly")).items():
        if key not in ANOMALY_SETS:
            raise refuse(f"anomaly: {key} is neither own nor linked")
        columns = columns_read(f"anomaly.{key}.columns", entry.get("columns") if isinstance(entry, dict) else None)
        anomaly[key] = Anomaly(columns, [], [], [], [], number(f"anomaly.{key}", entry, "threshold", SCALE_MIN, 1))
    people = {key: told[key] if isinstance(told.get(key), dict) else {} for key in ("provenance", "metrics")}
    return SceneBase(name, version, scenes, dimensions, anomaly, **people, reference=reference_read(told))


def reference_read(about: Mapping[str, Any]) -> Reference | None:
    if "reference" not in about:
        return None
    entry = about["reference"]
    features = entry.get("features") if isinstance(entry, dict) else None
    if not isinstance(features, list) or not 1 <= len(features) <= len(FEATURES):
        raise refuse(f"reference.features: not an array of 1 to {len(FEATURES)} features")
    for feature in features:
        if not isinstance(feature, str) or feature not in FEATURES:
            raise refuse(f"reference.features: {feature if isinstance(feature, str) else '(none)'} is not in this catalogue")
    return Reference(features, [], [], [], [], [], [])


def mapping(place: str, told: Any) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise refuse(f"{place}: not an object")
    return told


def scenes_read(told: Any, dimensions: Mapping[str, Dimension]) -> list[Scene]:
    if not isinstance(told, list) or not 1 <= len(told) <= SCENES_MAX:
        raise refuse(f"scenes: not an array of background and up to {SCENES_MAX - 1} scenes")
    scenes: list[Scene] = []
    for at, entry in enumerate(told):
        place = f"scenes[{at}]"
        scene = Scene(text(place, entry, "name"), number(place, entry, "bias", -WEIGHT_MAX, WEIGHT_MAX))
        if at > 0:
            scene.risk_type = text(place, entry, "risk_type")
            scene.threshold = number(place, entry, "threshold", SCALE_MIN, 1)
        scene.weights = {name: number(f"{place}.weights", entry.get("weights"), name, -WEIGHT_MAX, WEIGHT_MAX) for name in dimensions}
        for before, other in enumerate(scenes):
            if other.name == scene.name:
                raise refuse(f"{place}: the name is that of scenes[{before}]")
        scenes.append(scene)
    return scenes


class Tensors:
    """The tensors of a file; each is taken once, and none may be left."""

    def __init__(self, container: Container) -> None:
        self.left = dict(container.tensors)

    def take(self, name: str) -> Array:
        if name not in self.left:
            raise refuse(f"tensor {name}: missing")
        return self.left.pop(name)

    def floats(self, name: str, shape: tuple[int, ...], least: float, most: float) -> Array:
        values = self.take(name)
        if values.dtype != np.dtype("<f4") or values.shape != shape:
            raise refuse(f"tensor {name}: type or shape does not fit the columns and clusters")
        if not ((values >= np.float64(least)) & (values <= np.float64(most))).all():
            raise refuse(f"tensor {name}: a value is not finite or out of bounds")
        return values

    def counts(self, name: str, shape: tuple[int, ...]) -> Array:
        values = self.take(name)
        if values.dtype != np.dtype("<u4") or values.shape != shape:
            raise refuse(f"tensor {name}: type or shape does not fit the reference")
        return values

    def clusters(self, name: str) -> int:
        if name not in self.left:
            raise refuse(f"tensor {name}: missing")
        shape = self.left[name].shape
        if len(shape) != 2 or not 1 <= shape[0] <= CLUSTERS_MAX:
            raise refuse(f"tensor {name}: not [1 to {CLUSTERS_MAX} clusters, columns]")
        return int(shape[0])

    def none_left(self) -> None:
        for name in self.left:
            raise refuse(f"tensor {name}: belongs to no dimension, anomaly set or reference of the metadata")


def take_dimension(tensors: Tensors, name: str, dimension: Dimension, scenes: int) -> None:
    columns, clusters = len(dimension.columns), tensors.clusters(f"{name}.centres")
    dimension.mean = tensors.floats(f"{name}.mean", (columns,), -INPUT_MAX, INPUT_MAX)
    dimension.rscale = tensors.floats(f"{name}.rscale", (columns,), SCALE_MIN, INPUT_MAX)
    scene = tensors.take(f"{name}.scene")
    if scene.shape != (clusters,) or scene.dtype.kind == "f":
        raise refuse(f"tensor {name}.scene: not one whole number (U8, U32, I32) per cluster")
    if (scene < 0).any() or (scene >= scenes).any():
        raise refuse(f"tensor {name}.scene: names a scene that the metadata does not list")
    if not (scene == 0).any():
        raise refuse(f"tensor {name}.scene: no cluster of the background (scene 0)")
    dimension.scene = scene
    dimension.centres = tensors.floats(f"{name}.centres", (clusters, columns), -CENTRE_MAX, CENTRE_MAX)
    dimension.precisions = tensors.floats(f"{name}.precisions", (clusters, columns), 0, PRECISION_MAX)
    dimension.offsets = tensors.floats(f"{name}.offsets", (clusters,), -WEIGHT_MAX, WEIGHT_MAX)


def take_anomaly(tensors: Tensors, name: str, anomaly: Anomaly) -> None:
    columns, points = len(anomaly.columns), tensors.clusters(f"{name}.points")
    if points % SEGMENTS:
        raise refuse(f"tensor {name}: points are not {SEGMENTS} subsamples of equal size")
    anomaly.mean = tensors.floats(f"{name}.mean", (columns,), -INPUT_MAX, INPUT_MAX)
    anomaly.rscale = tensors.floats(f"{name}.rscale", (columns,), SCALE_MIN, INPUT_MAX)
    anomaly.points = tensors.floats(f"{name}.points", (points, columns), -CENTRE_MAX, CENTRE_MAX)
    table = tensors.left.get(f"{name}.table", np.zeros(1))
    if table.ndim != 1 or not 1 <= len(table) <= TABLE_MAX:
        raise refuse(f"tensor {name}.table: not 1 to {TABLE_MAX} scores")
    anomaly.table = table = tensors.floats(f"{name}.table", table.shape, 0, INPUT_MAX)
    if (np.diff(table) < 0).any():
        raise refuse(f"tensor {name}.table: scores do not ascend")


def take_reference(tensors: Tensors, reference: Reference, base: SceneBase) -> None:
    count = len(reference.features)
    reference.edges = edges = tensors.floats("reference.edges", (count, EDGES), -INPUT_MAX, INPUT_MAX)
    reference.counts = tensors.counts("reference.counts", (count, EDGES + 1))
    reference.known = tensors.counts("reference.known", (count, 2))
    reference.scenes = tensors.counts("reference.scenes", (len(base.scenes),))
    reference.far = tensors.floats("reference.far", (len(DIMENSIONS),), -WEIGHT_MAX, FAR_MAX)
    reference.distances = tensors.counts("reference.distances", (len(DIMENSIONS), 2))
    if (np.diff(edges, axis=1) < 0).any():
        raise refuse("tensor reference.edges: edges fall")
    if not set(reference.features) <= set(base.features):
        raise refuse("tensor reference.edges: of a feature that no column has")
    if len(set(reference.features)) != count:
        raise refuse("tensor reference.edges: of a feature that is named twice")
