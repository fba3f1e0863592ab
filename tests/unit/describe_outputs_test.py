#!/usr/bin/env python3
"""Checks what describe makes of the unit tests' sample machines, as the programs that get it would:

    describe_outputs_test.py UNIT_TEST_PROGRAM

JSON must be valid and its address map must add up. SVG must be well-formed, be rendered by rsvg-convert (Debian package
librsvg2-bin) at its own size, and its texts must lie within their boxes and the picture, none upon another.
"""

import collections
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

SVG = "{http://www.w3.org/2000/svg}"
SANS = ("headline", "caption", "plain")
SIZES = {"headline": 18, "caption": 12, "plain": 12, "small": 10}


def check_json(path):
    subprocess.run([sys.executable, "-m", "json.tool", path], check=True, stdout=subprocess.DEVNULL)
    with open(path, encoding="utf-8") as file:
        machine = json.load(file)
    at = 0
    for region in machine["address_map"]:
        assert region["base"] == at, f"a gap or an overlap at {at:#x}"
        at += region["size"]
        if region["kind"] == "window":
            device = machine["devices"][region["device"]]
            place = {"name": region["name"], "base": region["base"], "size": region["size"]}
            assert place in device["mmio"], f"{place} is no window of {device['type']}"
    windows = sum(len(device["mmio"]) for device in machine["devices"])
    assert windows == sum(region["kind"] == "window" for region in machine["address_map"])
    names = [device["name"] for device in machine["devices"] if device["name"] is not None]
    assert len(names) == len(set(names)), "two devices have one name"


Box = collections.namedtuple("Box", "left top right bottom what")


def overlap(a, b):
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom


def text_box(element):
    words = element.get("class").split()
    size = next((SIZES[word] for word in words if word in SIZES), 11)
    text = "".join(element.itertext()) if len(element) == 0 else element[0].tail
    # A fixed-width font's characters are 0.61 of its size wide; those of the proportional ones less, on average.
    width = len(text) * size * (0.61 if not set(words) & set(SANS) else 0.68)
    left = float(element.get("x")) - {"middle": width / 2, "end": width}.get(element.get("text-anchor"), 0)
    base = float(element.get("y"))
    return Box(left, base - 0.8 * size, left + width, base + 0.22 * size, text)


def check_svg(path):
    root = xml.parse(path).getroot()
    width, height = float(root.get("width")), float(root.get("height"))
    assert width == 800, f"{width} pixels wide"
    texts = [text_box(element) for element in root.iter(SVG + "text")]
    boxes = []
    for element in root.findall(SVG + "rect"):
        x, y, w, h = (float(element.get(name)) for name in ("x", "y", "width", "height"))
        boxes.append(Box(x, y, x + w, y + h, element.get("class")))
    for box in texts + boxes:
        assert 0 <= box.left and box.right <= width and 0 <= box.top and box.bottom <= height, f"{box} is outside"
    for i, text in enumerate(texts):
        for other in texts[:i]:
            assert not overlap(text, other), f"{text} lies upon {other}"
        for box in boxes[1:]:  # the first one is the ground
            middle = (text.top + text.bottom) / 2
            if overlap(text, box) and box.left <= text.left and box.top < middle < box.bottom:
                assert text.right <= box.right and box.top <= text.top and text.bottom <= box.bottom, f"{text} leaves {box}"
            else:
                assert not overlap(text, box), f"{text} lies upon the edge of {box}"
    for i, box in enumerate(boxes[1:]):
        for other in boxes[1:][:i]:
            assert not overlap(box, other), f"{box} lies upon {other}"

    png = path.removesuffix(".svg") + ".png"
    subprocess.run(["rsvg-convert", path, "-o", png], check=True, timeout=60)
    with open(png, "rb") as file:
        header = file.read(24)
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:24]) == (math.ceil(width), math.ceil(height)), "rendered at another size"


def main():
    unit = sys.argv[1]
    if shutil.which("rsvg-convert") is None:
        sys.exit("describe_outputs_test: no rsvg-convert: install the Debian package librsvg2-bin")
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            [unit, "--test-case=describe outputs*"], env={**os.environ, "AXVM_DESCRIBE_DUMP": directory},
            check=True, timeout=60, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        files = sorted(os.listdir(directory))
        wrong = 0
        for name in files:
            check = {".json": check_json, ".svg": check_svg}.get(os.path.splitext(name)[1])
            try:
                if check:
                    check(os.path.join(directory, name))
            except (AssertionError, ValueError, xml.ParseError, subprocess.SubprocessError) as error:
                print(f"{name}: {error}")
                wrong += 1
        machines = sum(name.endswith(".svg") for name in files)
        print(f"{machines} machines, {wrong} wrong outputs")
        sys.exit(1 if wrong or machines < 8 else 0)


if __name__ == "__main__":
    main()
