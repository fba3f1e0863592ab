"""Tables of figures, as a terminal and Markdown both show them."""

import statistics


def text(head, rows):
    """A table in Markdown whose columns line up in a terminal, too."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |\n" for line in lines)


NOTHING = "-"


def median(values):
    """Of those that are there; None where none is."""
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def number(value, digits=0):
    """12,345 or, with digits, 12,345.67; a dash for what was not measured."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def ratio(value, base):
    """How many times `base`; a dash where one of them is missing."""
    return NOTHING if value is None or not base else f"{value / base:.2f}"
