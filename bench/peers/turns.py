"""A peer's side of bench_turns: makes ready, says so in a line of JSON, then does the task once for every line on standard input
and prints the seconds it took (processor time; xgboost, which has two threads, wall clock).

usage: turns.py flat COLUMNS CLUSTERS ROWS | forest COLUMNS ROWS | kmeans COLUMNS ROWS CLUSTERS ROUNDS FILE
                | xgboost COLUMNS ROWS FEATURES_FILE LABELS_FILE | data COLUMNS ROWS FILE
data: writes rows for kmeans (blobs, float32, row by row) and ends.
"""
import json
import sys
import time

import numpy as np


def flat(columns, clusters, rows):
    """FAISS's flat L2 index, k = 1, one thread."""
    import faiss
    faiss.omp_set_num_threads(1)
    random = np.random.default_rng(1)
    index = faiss.IndexFlatL2(columns)
    index.add(random.random((clusters, columns), dtype=np.float32))
    x = random.random((rows, columns), dtype=np.float32)
    return f"faiss {faiss.__version__}", lambda: index.search(x, 1), time.process_time


def forest(columns, rows):
    """scikit-learn's isolation forest, 100 trees, one job, one call."""
    import sklearn
    from sklearn.ensemble import IsolationForest
    random = np.random.default_rng(1)
    x = random.standard_normal((rows, columns)).astype(np.float32)
    model = IsolationForest(n_estimators=100, n_jobs=1, random_state=1).fit(x)
    return f"scikit-learn {sklearn.__version__}", lambda: model.score_samples(x), time.process_time


def kmeans(columns, rows, clusters, rounds, file):
    """FAISS's k-means, all rows in every round, one thread."""
    import faiss
    faiss.omp_set_num_threads(1)
    x = np.fromfile(file, np.float32).reshape(rows, columns)

    def turn():
        faiss.Kmeans(columns, clusters, niter=rounds, seed=1, max_points_per_centroid=rows).train(x)
    return f"faiss {faiss.__version__}", turn, time.process_time


def xgboost(columns, rows, features, labels):
    """XGBoost's fit: hist, 100 trees, depth 3, two threads; the matrix lies in memory, making it quantised is part of fitting."""
    import xgboost as xgb
    x = np.fromfile(features, np.float32).reshape(columns, rows).T.copy()
    y = (np.fromfile(labels, np.uint8) > 0).astype(np.float32)

    def turn():
        xgb.XGBClassifier(tree_method="hist", n_estimators=100, max_depth=3, learning_rate=0.1, n_jobs=2).fit(x, y)
    return f"xgboost {xgb.__version__}", turn, time.perf_counter


def data(columns, rows, file):
    random = np.random.default_rng(1)
    centres = random.standard_normal((64, columns)) * 2
    x = centres[random.integers(64, size=rows)] + random.standard_normal((rows, columns))
    np.clip(x, -6, 12).astype(np.float32).tofile(file)


def main():
    words = [int(word) if word.isdigit() else word for word in sys.argv[2:]]
    if sys.argv[1] == "data":
        data(*words)
        return
    library, turn, clock = {"flat": flat, "forest": forest, "kmeans": kmeans, "xgboost": xgboost}[sys.argv[1]](*words)
    print(json.dumps({"ready": sys.argv[1], "library": library}), flush=True)
    for _ in sys.stdin:
        start = clock()
        turn()
        print(f"{clock() - start:.9f}", flush=True)


main()
