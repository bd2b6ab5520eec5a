#!/usr/bin/env python3
"""`sluice eval` against figures worked out anew here, pair by pair: random tables with ties, few risky rows, one class, rows without
a label; and its report: plots that are XML, the same bytes twice. Every field of its JSON is told in docs/quality.md. Wrong input
is told. Also against scikit-learn where it is there, and against the judge that SLUICE_JUDGE names.

usage: figures.py SLUICE   (SLUICE_SEED: another seed than 1)
"""
import importlib.util
import json
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

SLUICE = sys.argv[1]
TREE = pathlib.Path(__file__).parent.parent.parent
DAY_US = 86400 * 10**6
START_US = 1_700_000_000 * 10**6 // DAY_US * DAY_US
failures = []


def module(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


NUMPY = module("numpy")
SKLEARN = module("sklearn.metrics") if NUMPY else None


def judge():
    path = os.environ.get("SLUICE_JUDGE")
    if not path or not NUMPY:
        return None
    spec = importlib.util.spec_from_file_location("judge", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


JUDGE = judge()


def expect(is_so, text):
    if not is_so:
        failures.append(text)


def close(name, got, wanted, bound=2e-9):
    if got is None or wanted is None:
        expect(got is None and wanted is None, f"{name}: {got}, wanted {wanted}")
    else:
        expect(abs(got - wanted) <= bound * (1 + abs(wanted)), f"{name}: {got}, wanted {wanted}")


def single(value):
    """As the program keeps it."""
    return struct.unpack("f", struct.pack("f", value))[0]


def make(draw, count, risky_share, levels, labels=("a", "b")):
    rows = []
    for i in range(count):
        label = draw.choice(labels) if draw.random() < risky_share else "good"
        if risky_share not in (0, 1) and draw.random() < 0.05:
            label = ""
        score = single(min(max(draw.randrange(levels) / levels * 0.7 + (0.3 * draw.random() if label in labels and levels > 9 else 0), 0), 1))
        rows.append({"id": f"t{i}", "payer": f"p{draw.randrange(30)}", "amount": int(10 ** draw.uniform(0, 7)), "label": label,
                     "time": START_US + i * 3 * DAY_US // count, "score": score, "scene": draw.choice(labels),
                     "match": single(draw.random()), "anomaly": single(draw.randrange(levels) / levels)})
    return rows


def write(folder, rows):
    table, scores = folder / "table.csv", folder / "scores.csv"
    with open(table, "w", encoding="utf-8") as out:
        out.write("transfer_id,payer_id,payee_id,amount,currency,time,label\n")
        out.writelines(f"{r['id']},{r['payer']},x,{r['amount']},EUR,{r['time']},{r['label']}\n" for r in rows)
    with open(scores, "w", encoding="utf-8") as out:
        out.write("transfer_id,risk,scene,match,anomaly\n")
        out.writelines(f"{r['id']},{r['score']!r},{r['scene']},{r['match']!r},{r['anomaly']!r}\n" for r in rows)
    return table, scores


def run(*arguments):
    done = subprocess.run([SLUICE, "eval", *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def area(pairs):
    """pairs: (is risky, score)."""
    risky, good = [s for y, s in pairs if y], [s for y, s in pairs if not y]
    if not risky or not good:
        return None
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in risky for b in good) / (len(risky) * len(good))


def average_precision(pairs):
    total = sum(y for y, _ in pairs)
    if not total:
        return None
    result = 0.0
    for cut in {s for _, s in pairs}:
        above = [y for y, s in pairs if s >= cut]
        result += sum(y for y, s in pairs if s == cut) / total * sum(above) / len(above)
    return result


def calibration(pairs):
    if not pairs:
        return None, None
    error, brier = 0.0, sum((s - y) ** 2 for y, s in pairs) / len(pairs)
    for b in range(10):
        here = [(y, s) for y, s in pairs if min(int(single(s * 10)), 9) == b]
        if here:
            error += abs(sum(s for _, s in here) - sum(y for y, _ in here)) / len(pairs)
    return error, brier


def day_precision(rows, k):
    """The chance of each risky row to be among the k when equal scores are drawn."""
    total = 0.0
    for row in rows:
        if row["label"] != "good":
            above = sum(other["score"] > row["score"] for other in rows)
            equal = sum(other["score"] == row["score"] for other in rows)
            total += min(max(k - above, 0) / equal, 1)
    return total / k


def card_precision(days, k):
    found, values = set(), []
    for rows in days:
        best, hit = {}, {}
        for row in rows:
            payer = row["payer"]
            if payer not in found:
                best[payer] = max(best.get(payer, -1), row["score"])
                hit[payer] = hit.get(payer, False) or row["label"] != "good"
        top = sorted(best, key=lambda payer: -best[payer])[:k]
        values.append(sum(hit[payer] for payer in top) / k)
        found |= {payer for payer in top if hit[payer]}
    return sum(values) / len(values) if values else None


def check_table(name, folder, rows, k):
    table, scores = write(folder, rows)
    status, text, error = run("--json", "--top", k, "--scores", scores, table)
    if status:
        failures.append(f"{name}: {error}")
        return
    got = json.loads(text)
    known = [row for row in rows if row["label"]]
    pairs = {score: [(row["label"] != "good", row[score]) for row in known] for score in ("score", "match", "anomaly")}
    days = [[row for row in known if row["time"] // DAY_US == day] for day in sorted({row["time"] // DAY_US for row in known})]
    expect((got["rows"], got["labelled"], got["risky"]) == (len(rows), len(known), sum(y for y, _ in pairs["score"])), f"{name}: counts")
    close(f"{name}: auc_roc", got["auc_roc"], area(pairs["score"]))
    close(f"{name}: average_precision", got["average_precision"], average_precision(pairs["score"]))
    close(f"{name}: anomaly auc_roc", got["anomaly"]["larger"]["auc_roc"], area(pairs["anomaly"]))
    close(f"{name}: anomaly average_precision", got["anomaly"]["larger"]["average_precision"], average_precision(pairs["anomaly"]))
    for score, what in (("score", "risk"), ("match", "match")):
        wanted_error, brier = calibration(pairs[score])
        close(f"{name}: error of {what}", got["calibration"][what]["error"], wanted_error)
        close(f"{name}: brier of {what}", got["calibration"][what]["brier"], brier)
    close(f"{name}: card precision", got[f"card_precision_{k}"], card_precision(days, k))
    close(f"{name}: precision", got[f"precision_{k}"], sum(day_precision(rows, k) for rows in days) / len(days) if days else None)
    for entry in got["scenes"][1:]:
        own = [(row["label"] == entry["scene"], row["score"]) for row in known if row["label"] in ("good", entry["scene"])]
        close(f"{name}: {entry['scene']}", entry["average_precision"], average_precision(own))
        close(f"{name}: {entry['scene']}", entry["auc_roc"], area(own))
    for band in got["amounts"]["bands"]:
        own = [row for row in known if band["from"] * 100 <= row["amount"] and (band["below"] is None or row["amount"] < band["below"] * 100)]
        expect(band["rows"] == len(own), f"{name}: rows of a band")
        close(f"{name}: a band", band["auc_roc"], area([(row["label"] != "good", row["score"]) for row in own]))
    if NUMPY and 0 < got["risky"] < got["labelled"]:
        check_others(name, got, pairs["score"], known, k)


def check_others(name, got, pairs, known, k):
    y, s = NUMPY.array([int(y) for y, _ in pairs]), NUMPY.array([s for _, s in pairs])
    if SKLEARN:
        close(f"{name}: auc_roc of scikit-learn", got["auc_roc"], float(SKLEARN.roc_auc_score(y, s)))
        close(f"{name}: average_precision of scikit-learn", got["average_precision"], float(SKLEARN.average_precision_score(y, s)))
        close(f"{name}: brier of scikit-learn", got["calibration"]["risk"]["brier"], float(SKLEARN.brier_score_loss(y, s)))
    if JUDGE:
        day = NUMPY.array([row["time"] // DAY_US for row in known])
        card = NUMPY.array([int(row["payer"][1:]) for row in known])
        close(f"{name}: auc_roc of the judge", got["auc_roc"], float(JUDGE.auc_roc(y, s)))
        close(f"{name}: average_precision of the judge", got["average_precision"], JUDGE.average_precision(y, s))
        close(f"{name}: card precision of the judge", got[f"card_precision_{k}"], JUDGE.card_precision(y, s, day, card, k))


def check_report(folder, rows):
    table, scores = write(folder, rows)
    for place in ("one", "two"):
        status, _, error = run("--report", folder / place, "--scores", scores, table)
        expect(status == 0, f"report: {error}")
    names = sorted(path.name for path in (folder / "one").iterdir())
    expect({"index.html", "figures.json", "roc.svg", "precision-recall.svg", "scores.svg", "reliability.svg", "confusion.svg",
            "days.svg"} == set(names), f"report: {names}")
    check_plots(folder / "one", [name[:-4] for name in names if name.endswith(".svg")])
    json.loads((folder / "one" / "figures.json").read_text())
    for name in names:
        expect((folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes(), f"report: {name} differs")


def check_plots(place, names):
    """Each named plot is XML without numbers that are none, and stands in the page."""
    page = (place / "index.html").read_text()
    for name in names:
        text = (place / f"{name}.svg").read_text()
        xml.etree.ElementTree.fromstring(text)
        expect(text in page, f"report: {name} is not in the page")
        expect("nan" not in text and "inf" not in text, f"report: {name} has a number that is none")


def keys_of(value):
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()), set())
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def check_bases(folder):
    """Two bases at once: plots of both, switched rows in the file of scores, every field told."""
    base, other, table, scores = TREE / "models/synth/base.safetensors", folder / "other", folder / "made.csv", folder / "both.csv"
    for arguments in (("synth", "--rows", "30000", "--seed", "3", "--rates", "all=0.004", "--out", table),
                      ("build", "--quiet", "--out", other, "--report", folder / "built", table)):
        subprocess.run([SLUICE, *map(str, arguments)], check=True, capture_output=True)
    status, text, error = run("--json", "--base", base, "--against", other / "base.safetensors", "--draws", 40, "--report", folder / "both",
                              "--write-scores", scores, table)
    if status:
        failures.append(f"two bases: {error}")
        return
    for place in (folder / "both", folder / "built"):
        check_plots(place, ("roc", "precision-recall", "scores", "reliability", "confusion", "amounts", "days", "drift"))
    got = json.loads(text)
    told = set(re.findall(r"`([a-z_0-9K]+)`", (TREE / "docs/quality.md").read_text()))
    names = {re.sub(r"_100$", "_K", name) for name in keys_of(got)} - {entry["scene"] for entry in got["scenes"]}
    expect(names <= told, f"fields of the JSON that docs/quality.md lacks: {sorted(names - told)}")
    lines = [line.split(",") for line in scores.read_text().splitlines()]
    expect(lines[0][-2:] == ["alerted", "against_alerted"], f"scores of two bases: {lines[0]}")
    switched = sum(line[-2] != line[-1] for line in lines[1:])
    expect(switched == got["comparison"]["switched"] > 0, f"switched rows: {switched} in the file, {got['comparison']['switched']} told")
    agreement = got["comparison"]["agreement"]
    expect(sum(sum(one.values()) for one in agreement.values()) == got["rows"], "agreement counts every row once")
    expect(sum(one["base_alerts"] + one["both_alert"] for one in agreement.values()) == got["alerts"], "alerts of the first base")
    expect(sum(one["against_alerts"] + one["both_alert"] for one in agreement.values()) == got["against"]["alerts"], "alerts of the other")


def check_refusals(folder, draw):
    rows = make(draw, 50, 0.2, 20)
    table, scores = write(folder, rows)
    empty, bad = folder / "empty.csv", folder / "bad.csv"
    empty.write_text("")
    for words, arguments in (("the file is empty", ("--scores", scores, empty)), ("--against needs --base", ("--scores", scores, "--against", "x", table)),
                             ("no row to measure", ("--scores", scores, "--from", "2099-01-01", table)),
                             ("40 to 10000", ("--draws", 3, "--scores", scores, table)), ("1 to", ("--top", 0, "--scores", scores, table)),
                             ("cannot make folder", ("--report", "/proc/none/x", "--scores", scores, table))):
        status, _, error = run(*arguments)
        expect(status == 2 and words in error, f"{arguments}: {status}, {error}, wanted {words}")
    bad.write_text(scores.read_text().replace(repr(rows[7]["match"]), "much", 1))
    status, _, error = run("--scores", bad, table)
    expect(status == 2 and "match that is no number" in error, f"bad match: {status}, {error}")
    for share, words in ((0, "no row is risky"), (1, "no row is good")):
        table, scores = write(folder, make(draw, 50, share, 20))
        status, text, error = run("--scores", scores, "--report", folder / "poor", table)
        expect(status == 0 and words in text and "nan" not in text, f"one class: {status}, {error}{text}")
    unlabelled = [dict(row, label="") for row in rows]
    table, scores = write(folder, unlabelled)
    status, text, error = run("--scores", scores, "--report", folder / "none", table)
    expect(status == 0 and "no row has a label" in text and "nan" not in text, f"no label: {status}, {error}{text}")


def main():
    seed = int(os.environ.get("SLUICE_SEED", "1"))
    print(f"seed {seed}; scikit-learn {'is' if SKLEARN else 'is not'} here, the judge {'is' if JUDGE else 'is not'}")
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="sluice-figures-") as name:
        folder = pathlib.Path(name)
        for number in range(24):
            count = draw.choice((1, 2, 30, 400))
            share = draw.choice((0, 1, 0.005, 0.1, 0.5))
            levels = draw.choice((1, 3, 30, 100000))
            check_table(f"table {number} ({count} rows, {share} risky, {levels} levels)", folder, make(draw, count, share, levels),
                        draw.choice((1, 3, 25, 500)))
        check_report(folder, make(draw, 400, 0.2, 1000))
        check_refusals(folder, draw)
        check_bases(folder)
    print("\n".join(failures[:20]))
    sys.exit(bool(failures))


main()
