"""From a CSV file of labelled transfers to an active scene base with thresholds of one's own, cell by cell.

sluice synth --rows 50000 --out past.csv --later later.csv
sluice build --out mine past.csv                      # mine/base.safetensors
sluice serve --config sluice.yaml                     # base: mine/base.safetensors; rights: [submit, score, model]
python csv_to_base.py ipc:///run/sluice.ipc payroll TOKEN mine/base.safetensors past.csv later.csv tuned.safetensors
"""

# %% What is given
import csv
import sys
from collections.abc import Iterator

import numpy as np

import sluice
from sluice import scenes

url, tenant, token, base_path, past_path, later_path, tuned_path = sys.argv[1:8]
ROWS = 5000  # of a batch
GOOD_SHARE = 0.002  # of good transfers that a scene may keep from passing

# %% Transfers as columns: money and times are whole numbers, an empty cell is null


def read_csv(path: str) -> dict[str, list[str | int | None]]:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns: dict[str, list[str | int | None]] = {}
    for name in rows[0]:
        kind = int if sluice.catalogue.COLUMNS.get(name) == "i64" else str
        columns[name] = [kind(row[name]) if row[name] else None for row in rows]
    return columns


def batches(columns: dict[str, list[str | int | None]]) -> Iterator[dict[str, list[str | int | None]]]:
    rows = len(columns["transfer_id"])
    for first in range(0, rows, ROWS):
        yield {name: values[first : first + ROWS] for name, values in columns.items()}


past, later = read_csv(past_path), read_csv(later_path)
labels = np.array(later.pop("label"))
print(f"{len(past['transfer_id'])} past transfers, {len(labels)} later ones, {np.count_nonzero(labels != 'good')} of them fraud")

# %% The past into the server's history: run again, it is not taken twice
client = sluice.Client(url, tenant, token)
for number, batch in enumerate(batches(past)):
    print(client.import_(f"past-{number}", batch))

# %% What the base that runs says of the later ones; score records nothing
results = [client.score(batch) for batch in batches(later)]
scene = np.concatenate([result.names("scene") for result in results])
match = np.concatenate([result["match"] for result in results])
kept = np.concatenate([~result.is_verdict("pass") for result in results])
print(f"scored under {results[0].base} {results[0].base_version}: {kept.sum()} kept, {np.mean(labels[kept] != 'good'):.1%} of them fraud")

# %% Thresholds of one's own: what the share of good transfers allows
base = scenes.read(base_path)
for known in base.scenes[1:]:
    good = match[(scene == known.name) & (labels == "good")]
    allowed = int(GOOD_SHARE * np.count_nonzero(labels == "good"))
    threshold = np.sort(good)[-allowed - 1] if len(good) > allowed else known.threshold
    before, known.threshold = known.threshold, float(np.clip(threshold, 0.05, 0.99))
    caught = np.count_nonzero((scene == known.name) & (match >= known.threshold) & (labels == known.name))
    print(f"{known.name:24} {before:.3f} -> {known.threshold:.3f}: {caught} of {np.count_nonzero(labels == known.name)} caught")
base.version = f"{base.version[:50]}-tuned"
base.provenance = {**base.provenance, "thresholds": f"{GOOD_SHARE:.2%} of good later transfers for each scene"}

# %% Checked as the server would, sealed, written
base.write(tuned_path)
print(f"{tuned_path}: {base.name} {base.version}, digest {base.digest()}, {len(base.features)} features")

# %% Into the running server: verified there, ready, active for the batches from now on
golden = base.golden({name: np.linspace(0, 12, 32) for name in base.features})
put = client.bases.put(f"put-{base.digest()}", base, golden=golden)
print(f"put: {put['state']}, {put['golden_rows']} golden rows hold")
client.bases.activate(f"activate-{base.digest()}", base.digest())
again = [client.score(batch) for batch in batches(later)]
kept_again = np.concatenate([~result.is_verdict("pass") for result in again])
print(f"under {again[0].base_version}: {kept_again.sum()} kept, {np.mean(labels[kept_again] != 'good'):.1%} of them fraud")

# %% Back to the one before, at once, where that is better; and how far traffic has moved from what it was built on
if np.count_nonzero(labels[kept_again] != "good") < np.count_nonzero(labels[kept] != "good"):
    print("rolled back:", client.bases.rollback(f"rollback-{base.digest()}")["base_digest"])
drift = client.bases.drift()
print(f"drift: {drift['why'] or drift['level']}")
client.close()
