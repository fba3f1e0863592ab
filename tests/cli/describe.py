#!/usr/bin/env python3
"""describe.py XV2_VMM XV2_VMM_WITH_DOORBELL: the device that one word added to the list is in every description of the
machine, at the same place in each; without the word it is in none."""

import json
import subprocess
import sys
import xml.etree.ElementTree as xml


def described(program, form, *options):
    run = subprocess.run([program, f"--describe={form}", *options], check=True, capture_output=True, text=True, timeout=20)
    assert run.stderr == "", run.stderr
    return run.stdout


def doorbells(machine):
    return [device for device in machine["devices"] if device["type"] == "Doorbell"]


def texts(picture):
    return ["".join(element.itertext()) for element in picture.iter() if element.tag.endswith(("}text", "}title"))]


without, with_doorbell = sys.argv[1:]

machine = json.loads(described(with_doorbell, "json"))
(bell,) = doorbells(machine)
((window,), (line,)) = bell["mmio"], bell["irqs"]
assert bell["name"] == "doorbell0" and bell["present"] and not bell["implicit"], bell
assert bell["acpi"] == {"path": "\\_SB.BEL0", "hid": "AXVM0B31"}, bell
assert window["size"] == 0x1000, window
(region,) = [one for one in machine["address_map"] if one["kind"] == "window" and one["base"] == window["base"]]
assert machine["devices"][region["device"]] is not None and machine["devices"][region["device"]] == bell, region
lines = [one["line"] for device in machine["devices"] for one in device["irqs"]]
assert lines.count(line["line"]) == 1, lines

place = f"{window['base']:#x}-{window['base'] + window['size'] - 1:#x}"
table = described(with_doorbell, "text")
assert described(with_doorbell, "text") == subprocess.run(
    [with_doorbell, "--describe"], check=True, capture_output=True, text=True, timeout=20).stdout
rows = [row.split() for row in table.splitlines() if "doorbell0" in row]
assert rows[0][:2] == ["Doorbell", "doorbell0"], rows
for part in (place, str(line["line"]), "BEL0"):
    assert any(part in word for word in rows[0]), f"no {part} in {rows[0]}"
assert any(row[0] == place for row in rows[1:]), f"no {place} in the address map: {rows}"

picture = xml.fromstring(described(with_doorbell, "svg"))
assert picture.tag == "{http://www.w3.org/2000/svg}svg", picture.tag
named = [text for text in texts(picture) if "Doorbell doorbell0" in text]
assert named and any(place in text for text in named), named

# What the description is of are the settings that are given with it.
assert json.loads(described(with_doorbell, "json", "--memory", "8G", "--doorbell0.tone", "buzz"))["memory"] == 8 << 30

assert not doorbells(json.loads(described(without, "json")))
for form in ("text", "svg"):
    text = described(without, form)
    assert "Doorbell" not in text and "doorbell0" not in text, form  # a disk on PCI has a port that is called doorbell
