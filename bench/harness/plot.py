"""A picture of the CPU time per request, as SVG: one panel for each load, one bar for each proxy."""

from html import escape
from statistics import median

from .loads import LOADS
from .proxies import FLOOR, OURS

COLUMNS, WIDTH, ROW, GAP, HEAD = 3, 300, 20, 28, 40
NAMES, FIGURES = 78, 50  # room left and right of the bars
COLORS = {OURS: "#d1451b", FLOOR: "#b8b8b8"}
PEER = "#5b7ea3"


def cpu_plot(loads):
    """The picture for {load: {proxy: [sample]}}."""
    panels = [(name, samples) for name, samples in loads.items() if samples]
    rows = [panels[at : at + COLUMNS] for at in range(0, len(panels), COLUMNS)]
    heights = [max(len(samples) for _, samples in row) * ROW + HEAD for row in rows]
    width = COLUMNS * WIDTH + (COLUMNS + 1) * GAP
    height = sum(heights) + GAP * (len(rows) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    y = GAP
    for row, row_height in zip(rows, heights):
        for column, (name, samples) in enumerate(row):
            parts += panel(name, samples, GAP + column * (WIDTH + GAP), y)
        y += row_height + GAP
    return "\n".join([*parts, "</svg>", ""])


def panel(name, samples, x, y):
    load = LOADS[name]
    yield text(x, y + 4, f"{name}: CPU µs per {load.unit}", weight="bold")
    yield text(x, y + 20, load.title, fill="#666666", size=11)
    bars = sorted((median(row["cpu"] for row in rows), proxy) for proxy, rows in samples.items())
    most = max(row["cpu"] for rows in samples.values() for row in rows)
    scale = (WIDTH - NAMES - FIGURES) / most
    for at, (value, proxy) in enumerate(bars):
        top = y + HEAD - 10 + at * ROW
        left, middle = x + NAMES, top + ROW / 2 - 2
        low, high = (function(row["cpu"] for row in samples[proxy]) for function in (min, max))
        weight = "bold" if proxy == OURS else "normal"
        yield text(left - 6, middle + 4, proxy, anchor="end", weight=weight)
        color = COLORS.get(proxy, PEER)
        yield f'<rect x="{left}" y="{top}" width="{value * scale:.1f}" height="{ROW - 5}" fill="{color}"/>'
        if high > low:
            yield (f'<path d="M{left + low * scale:.1f} {middle}H{left + high * scale:.1f}" stroke="#222222" '
                   'stroke-width="1.5"/>')
        yield text(left + max(value, high) * scale + 5, middle + 4, figure(value), weight=weight)


def figure(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def text(x, y, content, *, anchor="start", weight="normal", fill="#222222", size=12):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{fill}" '
            f'font-size="{size}">{escape(content)}</text>')
