"""Bars as SVG, readable on light and on dark pages."""

from html import escape

WIDTH, LABEL, ROW, BAR, TOP = 760, 270, 26, 16, 40


def bars(title, values, digits=1):
    """A horizontal bar for each (label, value), to a common scale from 0; the first one is the one to compare with."""
    most = max((value for _, value in values), default=0) or 1
    room = WIDTH - LABEL - 110
    height = TOP + ROW * len(values) + 8
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" fill="#777">',
             f"<title>{escape(title)}</title>", f'<text x="8" y="22" font-size="14" font-weight="bold">{escape(title)}</text>']  # fmt: skip
    for index, (label, value) in enumerate(values):
        y = TOP + ROW * index
        width = max(1, round(room * value / most))
        colour = "#999" if index == 0 else "#2a78d6"
        lines.append(f'<text x="{LABEL - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>')
        lines.append(f'<rect x="{LABEL}" y="{y}" width="{width}" height="{BAR}" rx="2" fill="{colour}"/>')
        lines.append(f'<text x="{LABEL + width + 8}" y="{y + 13}">{value:,.{digits}f}</text>')
    return "\n".join([*lines, "</svg>", ""])
