"""A flame graph from `perf script`: samples folded by stack, drawn as nested boxes, widest callers first."""
import html
import re
import subprocess

WIDTH, ROW, TOP = 1200, 17, 46
LEAST_SHARE = 0.002  # narrower boxes are not drawn
FRAME = re.compile(r"^\s+[0-9a-f]+ (.+?)(?:\+0x[0-9a-f]+)? \((.*)\)$")


def stacks(perf_data):
    """Yields (thread name, frames from the root to the leaf), one per sample."""
    script = subprocess.run(["perf", "script", "-i", perf_data, "-F", "comm,ip,sym,dso"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True, check=True).stdout
    for block in script.split("\n\n"):
        lines = block.strip("\n").split("\n")
        frames = []
        for line in lines[1:]:
            match = FRAME.match(line)
            if match:
                name, place = match.groups()
                frames.append("[" + place.rsplit("/", 1)[-1].strip("[]") + "]" if name == "[unknown]" else name)
        if lines and frames:
            yield lines[0].strip(), frames[::-1]


def fold(samples):
    """A tree of [count, children by name]."""
    root = [0, {}]
    for thread, frames in samples:
        node = root
        node[0] += 1
        for name in [thread, *frames]:
            node = node[1].setdefault(name, [0, {}])
            node[0] += 1
    return root


def depth_of(node, total):
    return 1 + max((depth_of(child, total) for child in node[1].values() if child[0] >= LEAST_SHARE * total), default=0)


def colour(name, level):
    if level == 0:
        return "#b8c4d6"
    if name.startswith("[") or name.endswith("_[k]"):
        return "#d9d2c5"
    warm = sum(map(ord, name)) % 40
    return f"hsl({18 + warm},72%,{66 + warm % 9}%)"


def boxes(node, x, level, total, out):
    for name, child in sorted(node[1].items(), key=lambda item: -item[1][0]):
        width = WIDTH * child[0] / total
        if child[0] >= LEAST_SHARE * total:
            out.append((x, level, width, name, child[0] / total))
            boxes(child, x, level + 1, total, out)
        x += width


def draw(root, title, foot):
    total, placed = root[0], []
    boxes(root, 0.0, 0, total, placed)
    levels = depth_of(root, total)
    height = TOP + levels * ROW + 24
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">',
             f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
             f'<text x="8" y="20" font-size="15">{html.escape(title)}</text>',
             f'<text x="8" y="37" fill="#555">{html.escape(foot)}</text>']
    for x, level, width, name, share in placed:
        y = TOP + level * ROW
        text = html.escape(name if len(name) * 6.3 < width else name[:max(0, int(width / 6.3) - 1)] + "…" if width > 25 else "")
        lines.append(f'<g><title>{html.escape(name)} {100 * share:.1f} %</title><rect x="{x:.1f}" y="{y}" '
                     f'width="{max(0.5, width - 0.5):.1f}" height="{ROW - 1}" fill="{colour(name, level)}" rx="1"/><text x="{x + 3:.1f}" y="{y + 12}">{text}</text></g>')
    lines.append("</svg>")
    return "\n".join(lines) + "\n"
