"""A peer of the whole server: the service that one would write in Python with good libraries. pynng takes the requests, msgpack reads
them, numpy and FAISS do the arithmetic of a scene base, columns at a time; nothing is recorded.

usage: service.py ADDRESS BASE.safetensors [THREADS]

It speaks as much of the protocol as `sluice bench` needs (hello, screen in columns), so that the same client sends the same bytes.
It does less than the server, always to its own advantage: its history counts, sums and remembers the last time of payers, payees
and pairs alone, other features stay at 0; there are no checks of rows, no reasons, no ids kept, no ledger. Distances,
segment minima, both anomaly degrees and verdicts are the server's arithmetic in whole.
"""
import json
import struct
import sys
import threading
import time

import faiss
import msgpack
import numpy as np
import pynng

SLICE = 2048
SEGMENTS = 64


class Dimension:
    """½ Σ l (z − c)² − b as [z², z, 1] times weights, and the minimum of each scene."""

    def __init__(self, tensors, name, scene_count):
        centres, precisions = tensors[name + ".centres"], tensors[name + ".precisions"]
        order = np.argsort(tensors[name + ".scene"], kind="stable")
        scene = tensors[name + ".scene"][order]
        constant = 0.5 * (precisions * centres ** 2).sum(1) - tensors[name + ".offsets"]
        self.weights = np.ascontiguousarray(np.concatenate([0.5 * precisions, -precisions * centres, constant[:, None]], 1)[order])
        self.mean, self.rscale = tensors[name + ".mean"][:, None], tensors[name + ".rscale"][:, None]
        self.columns = len(self.mean)
        bounds = np.searchsorted(scene, np.arange(scene_count + 1))
        self.segments = [(s, bounds[s], bounds[s + 1]) for s in range(scene_count) if bounds[s] < bounds[s + 1]]

    def evidence(self, out, x, first_scene):
        """Takes the distances of columns x from out[scene]; returns the standardised columns."""
        z = np.clip((x - self.mean) * self.rscale, -6, 12)
        packed = np.empty((2 * self.columns + 1, x.shape[1]), np.float32)
        np.multiply(z, z, out=packed[:self.columns])
        packed[self.columns:-1] = z
        packed[-1] = 1
        distances = self.weights @ packed
        for scene, begin, end in self.segments:
            least = distances[begin:end].min(axis=0)
            out[scene] -= least
            first_scene[scene] = least
        return z


class Anomaly:
    """Mean over 64 segments of the distance to the nearest of a segment's points, as a share of reference rows."""

    def __init__(self, tensors, name, columns):
        self.points = np.ascontiguousarray(tensors[name + ".points"])
        self.mean, self.rscale = tensors[name + ".mean"][:, None], tensors[name + ".rscale"][:, None]
        self.table, self.columns = tensors[name + ".table"], columns

    def degree(self, features):
        z = np.clip((features[self.columns] - self.mean) * self.rscale, -6, 12)
        distances = faiss.pairwise_distances(self.points, np.ascontiguousarray(z.T))
        least = distances.reshape(SEGMENTS, -1, z.shape[1]).min(axis=1)
        raw = np.sqrt(np.maximum(least, 0, out=least), out=least).mean(axis=0)
        return (np.searchsorted(self.table, raw) / len(self.table)).astype(np.float32)


class Base:
    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:8 + size])
        about = json.loads(header.pop("__metadata__")["sluice"])
        types = {"F32": np.float32, "U8": np.uint8, "U32": np.uint32, "I32": np.int32}
        tensors = {}
        for name, tensor in header.items():
            begin, end = tensor["data_offsets"]
            tensors[name] = np.frombuffer(data[8 + size + begin:8 + size + end], types[tensor["dtype"]]).reshape(tensor["shape"])
        scenes = about["scenes"]
        self.name, self.scenes = about["name"], [scene["name"] for scene in scenes]
        self.bias = np.float32([scene["bias"] for scene in scenes])[:, None]
        self.threshold = np.float32([scene.get("threshold", 2) for scene in scenes])[:, None]
        self.features, self.dimensions, place = [], [], {}
        for name, columns in about["dimensions"].items():
            first = len(self.features)
            for column in columns:
                place.setdefault(column["feature"], len(self.features))
                self.features.append(column["feature"])
            self.dimensions.append((Dimension(tensors, name, len(scenes)), first, len(self.features)))
        self.anomalies = [(Anomaly(tensors, "anomaly_" + name, [place[column["feature"]] for column in about["anomaly"][name]["columns"]]),
                           about["anomaly"][name]["threshold"]) for name in ("own", "linked")]

    def score(self, features):
        """Of one slice of columns: result columns."""
        rows = features.shape[1]
        evidence = np.repeat(self.bias, rows, axis=1)
        distances = np.zeros((len(self.dimensions), len(self.scenes), rows), np.float32)
        for g, (dimension, first, end) in enumerate(self.dimensions):
            dimension.evidence(evidence, features[first:end], distances[g])
        match = 1 / (1 + np.exp(np.minimum(evidence[0] - evidence[1:], 80)))
        best = match.argmax(axis=0)
        at = np.arange(rows)
        best_match = match[best, at]
        match[best, at] = -1
        runner = match.argmax(axis=0)
        runner_match = match[runner, at]
        match[best, at] = best_match
        top = evidence.max(axis=0)
        shares = np.exp(evidence - top)
        risk = 1 - shares[0] / shares.sum(axis=0)
        degrees = [anomaly.degree(features) for anomaly, _ in self.anomalies]
        held = (match >= self.threshold[1:]).any(axis=0)
        for degree, (_, threshold) in zip(degrees, self.anomalies):
            held |= degree >= threshold
        columns = {"verdict": held.astype(np.uint8), "level": (held * 3).astype(np.uint8), "cause": held.astype(np.uint8),
                   "scene": np.where(held, best + 1, 0).astype(np.uint8), "runner_up": np.where(held, runner + 1, 0).astype(np.uint8),
                   "risk_type": np.where(held, best + 1, 0).astype(np.uint8), "countermeasure": held.astype(np.uint8),
                   "match": best_match, "runner_match": runner_match, "risk": risk,
                   "anomaly_own": degrees[0], "anomaly_linked": degrees[1]}
        for g, name in enumerate(("transaction", "device", "behaviour", "social")[:len(self.dimensions)]):
            columns["distance_" + name] = distances[g][best + 1, at]
        return columns


def runs(keys):
    """Rows grouped by key in their order: the order, where groups begin, and for each row how many of its group came before."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[begins, len(keys)])
    earlier = np.arange(len(keys)) - np.repeat(begins, lengths)
    return order, begins, lengths, earlier


class Party:
    """Count, sum and last time of every key; a row sees earlier rows, of its own batch too."""

    def __init__(self, room):
        self.count, self.sum, self.last = (np.zeros(room) for _ in range(3))

    def relate(self, keys, amount, now):
        if keys.max() >= len(self.count):
            grown = max(2 * len(self.count), int(keys.max()) + 1)
            for name in ("count", "sum", "last"):
                setattr(self, name, np.concatenate([getattr(self, name), np.zeros(grown - len(self.count))]))
        order, begins, lengths, earlier = runs(keys)
        amounts = amount[order].astype(np.float64)
        total = np.cumsum(amounts) - amounts
        count, before, gap = (np.empty(len(keys)) for _ in range(3))
        count[order] = earlier
        before[order] = total - np.repeat(total[begins], lengths)
        count += self.count[keys]
        before += self.sum[keys]
        gap[:] = now - self.last[keys]
        own = keys[order][begins]
        self.count[own] += lengths
        self.sum[own] += np.add.reduceat(amounts, begins)
        self.last[own] = now
        return count, before, gap


class History:
    def __init__(self):
        self.lock, self.ids = threading.Lock(), {}
        self.payer, self.payee, self.pair = Party(1 << 20), Party(1 << 20), Party(1 << 20)
        self.pairs = {}

    def numbers(self, column, rows, known):
        """Texts of a column as numbers from 0."""
        offsets, data = np.frombuffer(column["offsets"], np.uint32), column["data"]
        width = int(offsets[1]) if rows else 0
        if width and (np.diff(offsets) == width).all():
            texts = np.frombuffer(data, f"S{width}").tolist()
        else:
            texts = [data[a:b] for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist())]
        return np.fromiter((known.setdefault(text, len(known)) for text in texts), np.int64, rows)

    def features(self, columns, rows, names):
        amount = np.frombuffer(columns["amount"]["data"], np.int64)
        now = time.time()
        with self.lock:
            payer = self.numbers(columns["payer_id"], rows, self.ids)
            payee = self.numbers(columns["payee_id"], rows, self.ids)
            pair = np.fromiter((self.pairs.setdefault(key, len(self.pairs)) for key in (payer << 32 | payee).tolist()), np.int64, rows)
            out = [party.relate(keys, amount, now)
                   for party, keys in ((self.payer, payer), (self.payee, payee), (self.pair, pair))]
        log_amount = np.log1p(amount)
        made = {"amount": log_amount}
        for name, (count, total, gap) in zip(("payer", "payee", "pair"), out):
            mean = np.log1p(total / np.maximum(count, 1))
            made[f"amount_to_{name}_mean"] = log_amount - mean
            for window in ("1d", "7d", "30d"):
                made[f"{name}_count_{window}"] = np.log1p(count)
                made[f"{name}_mean_{window}"] = mean
            made[f"{name}_out_gap"] = np.log1p(gap)
        made["pair_sum"] = np.log1p(out[2][1])
        features = np.zeros((len(names), rows), np.float32)
        for place, name in enumerate(names):
            if name in made:
                features[place] = made[name]
        return features


def screen(base, history, request):
    rows = request["rows"]
    features = history.features(request["columns"], rows, base.features)
    parts = [base.score(features[:, first:first + SLICE]) for first in range(0, rows, SLICE)]
    columns = {}
    for name in parts[0]:
        data = np.concatenate([part[name] for part in parts])
        data = data.astype(np.float32) if data.dtype.kind == "f" else data
        columns[name] = {"type": "f32" if data.dtype.kind == "f" else "u8", "data": data.tobytes()}
    held = int(np.count_nonzero(np.frombuffer(columns["verdict"]["data"], np.uint8)))
    return {"v": 1, "id": request["id"], "status": "ok", "op": "screen", "batch": request.get("batch", request["id"]), "sequence": 0,
            "rows": rows, "base": base.name, "kernel": "numpy and faiss",
            "counts": {"pass": rows - held, "hold": held, "reject": 0, "invalid": 0},
            "tables": {"verdict": ["pass", "hold", "reject", "invalid"], "scene": base.scenes}, "columns": columns, "notes": []}


def serve(socket, base, history):
    with socket.new_context() as context:
        while True:
            try:
                request = msgpack.unpackb(context.recv())
            except pynng.Closed:
                return
            if request["op"] == "screen":
                reply = screen(base, history, request)
            else:
                reply = {"v": 1, "id": "", "status": "ok", "server": "service.py", "version": "1", "ready": True, "why": "",
                         "limits": {"rows": 1000000, "message_bytes": 1 << 28}}
            context.send(msgpack.packb(reply))


def main():
    address, path = sys.argv[1:3]
    thread_count = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    faiss.omp_set_num_threads(1)
    base, history = Base(path), History()
    with pynng.Rep0(recv_max_size=0) as socket:
        socket.listen(address)
        print(json.dumps({"ready": "service", "library": f"pynng {pynng.__version__}, numpy {np.__version__}, faiss {faiss.__version__}, "
                          f"msgpack {'.'.join(map(str, msgpack.version))}"}), flush=True)
        threads = [threading.Thread(target=serve, args=(socket, base, history), daemon=True) for _ in range(thread_count)]
        for thread in threads:
            thread.start()
        sys.stdin.read()  # until whoever started it closes it


main()
