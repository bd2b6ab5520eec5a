"""One result file: stages, each with its stamp, its figures, and what was missing. A figure is a median with its spread."""
import json
import os
import statistics

FORMAT = 1


class Stage:
    """Figures of one measurement in the making."""

    def __init__(self, name):
        self.name, self.figures, self.missing, self.libraries, self.rounds = name, {}, {}, {}, {}

    def figure(self, name, values, unit, better="more"):
        """values: one number, or those of several rounds. better: whether more or less of it is."""
        values = [float(value) for value in (values if isinstance(values, (list, tuple)) else [values])]
        if values:
            self.figures[f"{self.name}.{name}"] = {"value": statistics.median(values), "least": min(values), "most": max(values),
                                                   "n": len(values), "unit": unit, "better": better}

    def figures_add(self, name, value, unit, better):
        """One more round of a figure."""
        self.rounds.setdefault(name, []).append(value)
        self.figure(name, self.rounds[name], unit, better)

    def miss(self, what, why):
        self.missing[what] = why


def load(path):
    if not os.path.exists(path):
        return {"format": FORMAT, "stages": {}}
    with open(path, encoding="utf-8") as file:
        result = json.load(file)
    if result.get("format") != FORMAT:
        raise ValueError(f"{path} has another format than {FORMAT}")
    return result


def save(result, path):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    os.replace(path + ".new", path)


def merge(result, stage, stamp, seconds):
    """The stage as it is now takes the place of the one before."""
    result["stages"][stage.name] = {"stamp": stamp, "seconds": round(seconds, 1), "figures": stage.figures, "missing": stage.missing,
                                    "libraries": stage.libraries}


def figures(result):
    """All of them by name."""
    return {name: figure for stage in result["stages"].values() for name, figure in stage["figures"].items()}


def missing(result):
    return {what: why for stage in result["stages"].values() for what, why in stage["missing"].items()}
