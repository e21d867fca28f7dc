"""Draw the market's cost by size as an SVG: both axes logarithmic, so that linear cost is a line of slope one."""

import math

WIDTH, HEIGHT, MARGIN = 640, 420, 60
COLOURS = ("#1f6f8b", "#c8553d", "#588157", "#6d597a")
SECONDS = (1e-5, 1e0)


def cost_plot(curves: dict[str, list[tuple[int, float]]]) -> str:
    """Return an SVG of seconds over number of orders, one line per curve."""
    sizes = [n for points in curves.values() for n, _ in points]
    low, high = min(sizes), max(sizes)

    def x_of(n: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * math.log(n / low) / math.log(high / low)

    def y_of(seconds: float) -> float:
        share = math.log(seconds / SECONDS[0]) / math.log(SECONDS[1] / SECONDS[0])
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * share

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        x = x_of(10**power)
        parts.append(_line(x, y_of(SECONDS[0]), x, y_of(SECONDS[1]), "#dddddd"))
        parts.append(_text(x, HEIGHT - MARGIN + 18, f"{10**power:,}", "middle"))
    for power in range(round(math.log10(SECONDS[0])), round(math.log10(SECONDS[1])) + 1):
        y = y_of(10.0**power)
        parts.append(_line(MARGIN, y, WIDTH - MARGIN, y, "#dddddd"))
        parts.append(_text(MARGIN - 6, y + 4, f"{10.0**power:g} s", "end"))
    for colour, (name, points) in zip(COLOURS, curves.items(), strict=False):
        path = " ".join(f"{x_of(n):.1f},{y_of(seconds):.1f}" for n, seconds in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        n, seconds = points[-1]
        parts.append(_text(x_of(n) - 8, y_of(seconds) - 8, name, "end", colour))
    parts.append(_text(WIDTH / 2, HEIGHT - 16, "orders", "middle"))
    parts.append(_text(WIDTH / 2, MARGIN / 2, "time to clear one interval, every fill included", "middle"))
    return "\n".join([*parts, "</svg>", ""])


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'
