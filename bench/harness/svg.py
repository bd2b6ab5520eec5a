"""A small writer of plots: points, lines and names on linear or logarithmic axes, as SVG."""
import math
from html import escape

COLOURS = {"ours": "#b5332e", "second": "#e08a2c", "a": "#2c6fb0", "b": "#4b9a5b", "c": "#7b5ea7",
           "ink": "#222222", "faint": "#d9d9d9"}
FONT = "font-family='DejaVu Sans, Helvetica, Arial, sans-serif'"


def ticks(low, high, log):
    if log:
        steps = [10.0 ** power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
        if math.log10(high / low) < 2.5:
            steps = sorted(step * part for step in steps for part in (1, 2, 5))
        return [step for step in steps if low * 0.999 <= step <= high * 1.001]
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(part * power for part in (1, 2, 5, 10) if part * power >= rough)
    return [step * i for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def tick_text(value):
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    if value >= 1e4:
        return f"{value / 1e3:g} k"
    return f"{value:g}"


class Axis:
    def __init__(self, low, high, begin, end, log=True):
        self.low, self.high, self.begin, self.end, self.log = low, high, begin, end, log

    def at(self, value):
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)


class Plot:
    """x and y: (low, high, is logarithmic); y None: rows that the caller places by hand."""

    def __init__(self, title, x, y, x_name, y_name="", size=(760, 420), left=70, right=34, foot=""):
        self.width, self.height = size
        self.parts, self.left, self.right, self.top = [], left, self.width - right, 64
        self.bottom = self.height - (70 if foot else 54)
        self.x = Axis(x[0], x[1], self.left, self.right, x[2])
        self.y = Axis(y[0], y[1], self.bottom, self.top, y[2]) if y else None
        self.text(self.width / 2, 24, title, size=15, anchor="middle", weight="bold")
        self.text((self.left + self.right) / 2, self.bottom + 38, x_name, anchor="middle")
        if foot:
            self.text(self.width / 2, self.height - 10, foot, size=10, anchor="middle", colour="#666666")
        for tick in ticks(*x):
            self.segment(self.x.at(tick), self.top, self.x.at(tick), self.bottom, COLOURS["faint"])
            self.text(self.x.at(tick), self.bottom + 18, tick_text(tick), size=11, anchor="middle")
        if self.y:
            for tick in ticks(*y):
                self.segment(self.left, self.y.at(tick), self.right, self.y.at(tick), COLOURS["faint"])
                self.text(self.left - 8, self.y.at(tick) + 4, tick_text(tick), size=11, anchor="end")
            middle = (self.top + self.bottom) / 2
            self.parts.append(f"<text transform='translate(18 {middle:.1f}) rotate(-90)' text-anchor='middle' font-size='12' "
                              f"fill='{COLOURS['ink']}'>{escape(y_name)}</text>")
            self.segment(self.left, self.top, self.left, self.bottom, COLOURS["ink"])
        self.segment(self.left, self.bottom, self.right, self.bottom, COLOURS["ink"])

    def text(self, x, y, words, size=12, anchor="start", colour=None, weight="normal"):
        self.parts.append(f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' font-weight='{weight}' "
                          f"fill='{colour or COLOURS['ink']}'>{escape(words)}</text>")

    def segment(self, x1, y1, x2, y2, colour, width=1.0, dash=""):
        dashes = f" stroke-dasharray='{dash}'" if dash else ""
        self.parts.append(f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}' "
                          f"stroke-width='{width}'{dashes}/>")

    def line(self, points, colour, dash="", width=2.0):
        places = " ".join(f"{self.x.at(x):.1f},{self.y.at(y):.1f}" for x, y in points)
        dashes = f" stroke-dasharray='{dash}'" if dash else ""
        self.parts.append(f"<polyline points='{places}' fill='none' stroke='{colour}' stroke-width='{width}'{dashes}/>")

    def mark(self, x, y, colour, shape="dot", size=5.0):
        """x, y in pixels."""
        if shape == "dot":
            self.parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{size}' fill='{colour}'/>")
        elif shape == "square":
            self.parts.append(f"<rect x='{x - size:.1f}' y='{y - size:.1f}' width='{2 * size}' height='{2 * size}' fill='{colour}'/>")
        else:  # goal: an empty diamond
            arm = size + 1
            self.parts.append(f"<path d='M{x:.1f} {y - arm:.1f}l{arm} {arm}l{-arm} {arm}l{-arm} {-arm}z' "
                              f"fill='white' stroke='{colour}' stroke-width='1.6'/>")

    def legend(self, entries):
        """(words, colour, shape) side by side below the title."""
        widths = [26 + 6.9 * len(words) for words, _, _ in entries]
        at = self.width / 2 - sum(widths) / 2
        for (words, colour, shape), width in zip(entries, widths):
            self.mark(at + 6, 44, colour, shape, 4.5)
            self.text(at + 16, 48, words, size=11)
            at += width

    def write(self, path):
        with open(path, "w", encoding="utf-8") as out:
            out.write(f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {self.width} {self.height}' {FONT}>\n"
                      f"<rect width='{self.width}' height='{self.height}' fill='white'/>\n" + "\n".join(self.parts) + "\n</svg>\n")
