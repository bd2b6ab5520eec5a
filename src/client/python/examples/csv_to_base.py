"""From a CSV file of labelled transfers to a challenger with thresholds of one's own, and that to the active base, cell by cell.

sluice synth --rows 50000 --out past.csv --later later.csv
sluice build --out mine past.csv                      # mine/base.safetensors
sluice serve --config sluice.yaml                     # base: mine/base.safetensors; rights: [submit, score, label, model]
python csv_to_base.py ipc:///run/sluice.ipc payroll TOKEN mine/base.safetensors past.csv later.csv tuned.safetensors
"""

# %% What is given
import csv
import sys
import time
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

# %% Into the running server: verified there, ready, and scored beside the active one
golden = base.golden({name: np.linspace(0, 12, 32) for name in base.features})
put = client.bases.put(f"put-{base.digest()}", base, golden=golden)
print(f"put: {put['state']}, {put['golden_rows']} golden rows hold")
client.bases.challenger(base.digest())
for result in client.screen_many((f"later-{base.digest()}-{number}", batch) for number, batch in enumerate(batches(later))):
    print(f"screened under {result.base_version}: {result.counts}")

# %% What both said of the same rows: the challenger works behind the replies, labels come later
both = client.bases.compare()
until = time.monotonic() + 10
while both["rows"] + both["skipped"] < len(labels) and time.monotonic() < until:
    time.sleep(0.05)
    both = client.bases.compare()
confirmed = {"transfer_id": later["transfer_id"], "label": list(labels)}
for number, batch in enumerate(batches(confirmed)):
    client.label(f"label-{base.digest()}-{number}", batch)
both = client.bases.compare()
print(f"compared {both['rows']} rows, {both['switched_rows']} with another verdict")
for side in both["labels"]:
    print(f"  {side['side']:12} kept {side['kept']}, precision {side['precision']}, recall {side['recall']}")

# %% Better by one's own judgement? Then it is the active one, at once; client.bases.rollback goes back as fast
promoted = client.bases.promote(f"promote-{base.digest()}")
print(f"promoted: {promoted['base_version']} instead of {promoted['before']}")
again = [client.score(batch) for batch in batches(later)]
print(f"under {again[0].base_version}: {sum(int(np.sum(~result.is_verdict('pass'))) for result in again)} kept")
drift = client.bases.drift()
print(f"drift: {drift['why'] or drift['level']}")
client.close()
