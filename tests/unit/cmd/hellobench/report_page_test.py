#!/usr/bin/env python3
"""A report of a large measurement in a real browser: charts are drawn, nothing is asked of the network, nothing overflows, and the
figures are those that this test computes on its own.   report_page_test.py HELLOBENCH CATALOGUE
"""
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import unittest

import sample_results
from browser import Browser

CATALOGUE, HELLOBENCH = sys.argv.pop(), sys.argv.pop()

_PAGES = [(width, dark) for width in (320, 360, 1280) for dark in (False, True)]

# Canvases without a pixel that was drawn on.
_EMPTY_CHARTS = """[...document.querySelectorAll("canvas")].filter(canvas => {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return canvas.width === 0 || !pixels.some(byte => byte !== 0);
}).map(canvas => canvas.getAttribute("aria-label"))"""

# Colours of the charts' figures that are on the canvas: one at least for each series.
_COLOURS = """[...document.querySelectorAll("canvas")].map(canvas => {
  const chart = Chart.getChart(canvas), counts = new Set();
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  for (let i = 0; i < pixels.length; i += 4) if (pixels[i + 3] === 255) counts.add(pixels[i] << 16 | pixels[i + 1] << 8 | pixels[i + 2]);
  return [canvas.getAttribute("aria-label"), chart.data.datasets.map(dataset => dataset.borderColor)
    .filter(colour => !counts.has(parseInt(colour.slice(1), 16)))];
}).filter(([, missing]) => missing.length > 0)"""

# Elements wider than the screen that are in no box of their own which scrolls.
_OVERFLOW = """[...document.querySelectorAll("body *")].filter(element =>
  element.getBoundingClientRect().right > innerWidth + 0.5 && !element.closest(".scroll")).map(element => element.outerHTML.slice(0, 99))"""

# Text whose contrast to what is behind it is below what WCAG 2 asks for (4.5).
_FAINT = """(() => {
  const light = colour => { const c = colour.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]; };
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const behind = element => { for (; element; element = element.parentElement) {
    const colour = numbers(getComputedStyle(element).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour; } return [255, 255, 255]; };
  return [...document.querySelectorAll("body *:not(script)")]
    .filter(element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim() !== ""))
    .filter(element => { const one = light(numbers(getComputedStyle(element).color)), other = light(behind(element));
      return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05) < 4.5; })
    .map(element => element.outerHTML.slice(0, 99));
})()"""

# A table as its header and rows; a cell is its text, and its value if it has one.
_TABLE = """(() => { const table = document.getElementById(%s);
  const cells = row => [...row.cells].map(cell => [cell.firstChild ? cell.firstChild.textContent.trim() : "",
    cell.dataset.value === undefined ? null : Number(cell.dataset.value), (cell.querySelector("small") || {textContent: ""}).textContent]);
  return {columns: [...table.tHead.rows[0].cells].map(cell => cell.textContent), rows: [...table.tBodies[0].rows].map(cells)}; })()"""


def system(run):
    setup = run["setup"]
    return setup["snapshotter"] + ("/" + setup["store"] if setup["store"] else "")


def quantile(values, fraction):
    values = sorted(values)
    place = fraction * (len(values) - 1)
    below = math.floor(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (place - below) * (values[above] - values[below])


class ReportPageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="report-page-")
        cls.addClassCleanup(cls.directory.cleanup)
        images = sample_results.catalogue(CATALOGUE)
        cls.images = [*images, (sample_results.LONG, "other", "A"), (sample_results.HOSTILE, "language", "E")]
        cls.runs = sample_results.results(cls.images)
        cls.crowds = {nodes: sample_results.crowd(images[:5], nodes) for nodes in (4, 16)}
        cls.page = f"{cls.directory.name}/report.html"
        sample_results.write(f"{cls.directory.name}/a.jsonl", cls.runs)
        sample_results.write(f"{cls.directory.name}/b.jsonl", [run for crowd in cls.crowds.values() for run in crowd])
        subprocess.run([HELLOBENCH, "report", f"{cls.directory.name}/a.jsonl", f"{cls.directory.name}/b.jsonl", "--out", cls.page],
                       check=True)
        cls.browser = cls.enterClassContext(Browser())

    def table(self, name):
        return self.browser.evaluate(_TABLE % json.dumps(name))

    def medians(self, key, phase):
        """By image, of those of `key` that got there."""
        values = {}
        for run in self.runs:
            if system(run) == key and run["setup"]["scenario"] == "start" and not run["error"]:
                values.setdefault(run["setup"]["image"], []).append(phase(run))
        return {image: statistics.median(list_) for image, list_ in values.items()}

    def test_on_every_screen_charts_are_drawn_nothing_fails_nothing_overflows_and_the_network_is_asked_for_nothing(self):
        for width, dark in _PAGES:
            with self.subTest(width=width, dark=dark):
                self.browser.open(self.page, width, dark)
                self.assertEqual(self.browser.requests, [f"file://{self.page}"])
                self.assertEqual(self.browser.errors, [])
                # Six of each conditions, one of several at once, a time line of each session.
                self.assertEqual(self.browser.evaluate('document.querySelectorAll("canvas").length'), 3 * 6 + 1 + 3)
                self.assertEqual(self.browser.evaluate(_EMPTY_CHARTS), [])
                self.assertEqual(self.browser.evaluate(_COLOURS), [])
                self.browser.evaluate('document.querySelectorAll("details").forEach(drawer => { drawer.open = true; })')
                self.assertEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width)
                self.assertEqual(self.browser.evaluate(_OVERFLOW), [])

    def test_text_can_be_read_in_both_themes(self):
        for dark in (False, True):
            with self.subTest(dark=dark):
                self.browser.open(self.page, 1280, dark)
                self.assertEqual(self.browser.evaluate(_FAINT), [])

    def test_charts_follow_the_theme(self):
        self.browser.open(self.page, 1280, False)
        colour = 'Chart.getChart(document.querySelector("canvas")).options.plugins.legend.labels.color'
        light = self.browser.evaluate(colour)
        self.browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        self.browser.settle()
        self.assertNotEqual(self.browser.evaluate(colour), light)

    def test_every_chart_has_its_figures_in_a_table_and_every_table_a_name(self):
        self.browser.open(self.page, 1280, False)
        self.assertEqual(self.browser.evaluate(
            '[...document.querySelectorAll("figure")].filter(figure => !figure.querySelector("details table tbody tr")).length'), 0)
        self.assertEqual(self.browser.evaluate(
            '[...document.querySelectorAll("table")].filter(table => !table.caption || !table.id).length'), 0)
        self.assertEqual(self.browser.evaluate(
            '(ids => ids.length - new Set(ids).size)([...document.querySelectorAll("[id]")].map(element => element.id))'), 0)

    def test_hostile_text_is_shown_and_does_nothing(self):
        self.browser.open(self.page, 1280, False)
        self.assertEqual(self.browser.evaluate("document.title"), "HelloBench")
        self.assertEqual(self.browser.evaluate('document.querySelectorAll("img").length'), 0)
        self.assertIn(sample_results.HOSTILE, self.browser.evaluate('document.getElementById("failed").textContent'))

    def test_a_script_that_is_not_the_pages_would_not_run(self):
        with open(self.page, encoding="utf-8") as file:
            text = file.read()
        forged = f"{self.directory.name}/forged.html"
        with open(forged, "w", encoding="utf-8") as file:
            file.write(text.replace("<main>", '<main><script>document.title = "owned"</script>', 1))
        self.browser.open(forged, 1280, False)
        self.assertEqual(self.browser.evaluate("document.title"), "HelloBench")
        self.assertIn("Content Security Policy", str(self.browser.errors))

    def test_what_is_slower_stands_first_and_what_failed_after_it(self):
        self.browser.open(self.page, 360, False)
        self.assertEqual(self.browser.evaluate('[...document.querySelectorAll("main > section")].slice(0, 2).map(one => one.id)'),
                         ["slower", "failures"])
        overlayfs, nfs = (self.medians(name, lambda run: run["phases"]["second_ms"]) for name in ("overlayfs", "slacker/nfs"))
        slower = sum(nfs[image] > overlayfs[image] for image in nfs)
        rows = [row for row in self.table("slower-cases")["rows"]
                if [cell[0] for cell in row[:3]] == ["slacker/nfs", "second run", "overlayfs"] and row[4][0] == "1gbit, cold servers"]
        self.assertEqual(len(rows), slower)
        self.assertGreater(slower, 0)

    def test_failures_are_counted_and_give_their_reasons(self):
        self.browser.open(self.page, 1280, False)
        failed = {}
        for run in [*self.runs, *(run for crowd in self.crowds.values() for run in crowd)]:
            if run["error"]:
                key = (system(run), run["setup"]["image"], run["setup"]["nodes"], run["setup"]["scenario"], run["error"])
                failed[key] = failed.get(key, 0) + 1
        rows = self.table("failed")["rows"]
        self.assertEqual(len(rows), len(failed))
        self.assertEqual(sorted(row[3][1] for row in rows), sorted(failed.values()))
        self.assertEqual({(row[0][0], row[1][0], row[4][0]) for row in rows}, {(key[0], key[1], key[4]) for key in failed})

    def test_the_summary_is_what_the_runs_say(self):
        self.browser.open(self.page, 1280, False)
        table = self.table("summary-table")
        rows = {row[0][0]: dict(zip(table["columns"], row)) for row in table["rows"] if row[1][0] == "1gbit, cold servers"}
        baseline = self.medians("overlayfs", lambda run: run["phases"]["total_ms"])
        self.assertEqual(sorted(rows), ["overlayfs", "slacker/https", "slacker/nfs", "stargz"])
        for name, row in rows.items():
            totals = self.medians(name, lambda run: run["phases"]["total_ms"])
            ups = [baseline[image] / total for image, total in totals.items()]
            mine = [run for run in self.runs if system(run) == name and run["setup"]["scenario"] == "start"]
            expected = {
                "Start, median": statistics.median(totals.values()), "Start, sum": math.fsum(totals.values()),
                "The same images with overlayfs, sum": math.fsum(baseline[image] for image in totals),
                "Images": len(totals), "Runs": len(mine), "Failed": sum(run["error"] != "" for run in mine),
                "Received": statistics.median(self.medians(name, lambda run: run["traffic"]["received_bytes"]).values()),
                "Requests": statistics.median(self.medians(name, lambda run: run["traffic"]["registry_requests"]
                                                           + run["traffic"].get("store_requests", 0)).values()),  # all stores count there
                "CPU of daemons": statistics.median(
                    self.medians(name, lambda run: sum(one["cpu_seconds"] for one in run["daemons"])).values()),
                "Peak RSS of daemons": 91_000_000,
                "Disk": statistics.median(self.medians(name, lambda run: run["disk_bytes"]).values()),
            }
            if name != "overlayfs":
                expected |= {"Speed-up, median": statistics.median(ups), "Speed-up, 90th percentile": quantile(ups, 0.9)}
            for column, value in expected.items():
                self.assertAlmostEqual(row[column][1], value, delta=1e-9 * abs(value), msg=f"{name}, {column}")

    def test_each_image_has_its_median_spread_and_speed_up(self):
        self.browser.open(self.page, 1280, False)
        table = self.table("conditions-1-images")
        self.assertEqual(len(table["rows"]), len(self.images))
        row = next(row for row in table["rows"] if row[0][0] == "redis")
        for column, name in ((2, "overlayfs"), (3, "slacker/https"), (5, "slacker/nfs"), (7, "stargz")):
            totals = [run["phases"]["total_ms"] for run in self.runs if system(run) == name and run["setup"]["image"] == "redis"
                      and run["setup"]["scenario"] == "start"]
            self.assertEqual(table["columns"][column], name)
            self.assertAlmostEqual(row[column][1], statistics.median(totals), places=6)
            self.assertIn("3\u00a0runs", row[column][2])
        self.assertAlmostEqual(row[4][1], row[2][1] / row[3][1], places=9)
        cassandra = next(row for row in table["rows"] if row[0][0] == "cassandra")
        self.assertEqual(cassandra[7][1:], [None, "3 of 3 failed"])

    def test_speed_ups_and_phases_are_what_charts_and_their_tables_show(self):
        self.browser.open(self.page, 1280, False)
        baseline = self.medians("overlayfs", lambda run: run["phases"]["total_ms"])
        ups = sorted(baseline[image] / total for image, total in
                     self.medians("slacker/nfs", lambda run: run["phases"]["total_ms"]).items())
        rows = {row[0][0]: row for row in self.table("conditions-1-deployment")["rows"]}
        for column, fraction in ((2, 0), (3, 0.1), (4, 0.5), (5, 0.9), (6, 1)):
            self.assertAlmostEqual(rows["slacker/nfs"][column][1], quantile(ups, fraction), places=9)
        drawn = self.browser.evaluate("""(chart => chart.data.datasets.find(one => one.label === "slacker/nfs").data.map(one => [one.x, one.y]))
          (Chart.getChart([...document.querySelectorAll("#conditions-1 canvas")].find(one => one.ariaLabel.startsWith("Speed-ups, dep"))))""")
        self.assertEqual(len(drawn), len(ups) + 1)
        for (x, y), up, number in zip(drawn[1:], ups, range(1, len(ups) + 1)):
            self.assertAlmostEqual(x, up, places=9)
            self.assertAlmostEqual(y, 100 * number / len(ups), places=9)
        prepared = {run["setup"]["image"]: run["phases"]["prepare_ms"] for run in self.runs
                    if system(run) == "stargz" and run["phases"].get("prepare_ms")}
        base = {run["setup"]["image"]: run["phases"]["prepare_ms"] for run in self.runs
                if system(run) == "overlayfs" and run["phases"].get("prepare_ms")}
        stargz = self.medians("stargz", lambda run: run["phases"]["total_ms"])
        ups = [(base[image] + baseline[image]) / (prepared[image] + total) for image, total in stargz.items()]
        rows = {row[0][0]: row for row in self.table("conditions-1-development")["rows"]}
        self.assertAlmostEqual(rows["stargz"][4][1], statistics.median(ups), places=9)
        common = set.intersection(*(set(self.medians(f"{name}/{store}" if store else name, lambda run: 0))
                                    for name, store in sample_results.SYSTEMS))
        pulls = self.medians("stargz", lambda run: run["phases"]["pull_ms"])
        phases = self.table("conditions-1-phases")
        row = next(row for row in phases["rows"] if row[0][0] == "pull")
        self.assertAlmostEqual(row[phases["columns"].index("stargz")][1], statistics.fmean(pulls[image] for image in common), places=6)

    def test_the_papers_figures_stand_beside_these(self):
        self.browser.open(self.page, 1280, False)
        table = self.table("conditions-1-paper")
        rows = {row[0][0]: row for row in table["rows"]}
        pull, total = (self.medians("overlayfs", lambda run, key=key: run["phases"][key]) for key in ("pull_ms", "total_ms"))
        self.assertEqual(rows["Pull, of pull and run"][1][0], "76\u00a0%")
        self.assertAlmostEqual(rows["Pull, of pull and run"][3][1], 100 * sum(pull.values()) / sum(total.values()), places=6)
        together = "Data read (here: received), of the images: all together"
        # What a start reads is of the workload, measured with AUFS there.
        read = "Data read (here: received, compressed)"
        for name, text in ((together, "6.4\u00a0%"), (f"{read}: median", "20\u00a0MB"), (f"{read}: mean", "27\u00a0MB")):
            self.assertEqual([rows[name][1][0], rows[name][2][0]], [text, "–"])
        received, sizes = (self.medians("slacker/nfs", value) for value in
                           (lambda run: run["traffic"]["received_bytes"], lambda run: run["image_bytes"]))
        self.assertAlmostEqual(rows[together][table["columns"].index("slacker/nfs")][1],
                               100 * sum(received.values()) / sum(sizes.values()), places=6)

    def test_what_the_paper_says_of_a_category_stands_beside_that_category(self):
        self.browser.open(self.page, 1280, False)
        table = self.table("conditions-1-paper")
        rows = {row[0][0]: row for row in table["rows"]}
        ours = table["columns"].index("slacker/nfs")
        self.assertEqual(rows["distro: run, mean"][1][0], "360\u00a0ms")
        self.assertEqual(rows["language: run, mean"][1][0], "1.9\u00a0s")
        read = rows["distro: data read (here: received), of the images"]
        self.assertEqual([read[1][0], read[2][0]], ["3.33\u00a0%", "–"])
        for category in {category for _, category, _ in self.images}:
            names = {name for name, of, _ in self.images if of == category}

            def of_category(phase):
                return {name: value for name, value in self.medians("slacker/nfs", phase).items() if name in names}
            runs = of_category(lambda run: run["phases"]["create_ms"] + run["phases"]["ready_ms"])
            self.assertAlmostEqual(rows[f"{category}: run, mean"][ours][1], statistics.fmean(runs.values()), places=6)
            pull, total = (of_category(lambda run, key=key: run["phases"][key]) for key in ("pull_ms", "total_ms"))
            self.assertAlmostEqual(rows[f"{category}: pull, of pull and run"][ours][1],
                                   100 * sum(pull.values()) / sum(total.values()), places=6)
            received, sizes = (of_category(value) for value in
                               (lambda run: run["traffic"]["received_bytes"], lambda run: run["image_bytes"]))
            self.assertAlmostEqual(rows[f"{category}: data read (here: received), of the images"][ours][1],
                                   100 * sum(received.values()) / sum(sizes.values()), places=6)
            size = rows[f"{category}: image, compressed, median"]
            self.assertEqual([size[1][1], size[2][1]], [None, None])
            self.assertAlmostEqual(size[ours][1], statistics.median(sizes.values()), places=6)

    def test_of_several_nodes_the_last_one_counts(self):
        self.browser.open(self.page, 1280, False)
        row = next(row for row in self.table("at-once-1")["rows"] if row[0][0] == "slacker/nfs")
        for column, (nodes, runs) in enumerate(self.crowds.items(), 2):
            starts = {}
            for run in runs:
                if system(run) == "slacker/nfs" and not run["error"]:
                    starts.setdefault(run["setup"]["image"], {}).setdefault(run["repetition"], []).append(run["phases"]["total_ms"])
            last = [statistics.median(max(totals) for totals in of_image.values() if len(totals) == nodes)
                    for of_image in starts.values()]
            self.assertAlmostEqual(row[column][1], statistics.median(last), places=6)

    def test_machine_versions_command_and_seed_are_there(self):
        self.browser.open(self.page, 360, False)
        text = self.browser.evaluate('document.getElementById("sessions").textContent')
        for part in ("Invented sample", "6.18.2", "2.1.4", "hellobench measure --snapshotter overlayfs,slacker,stargz --link 1gbit 'it'\\''s'",
                     "2026-11-26T10:00:00Z", "Seed of the order", "dropped"):
            self.assertIn(part, text)
        self.assertIn("Permission is hereby granted", self.browser.evaluate('document.querySelector("footer").textContent'))

    def test_it_prints_on_white_with_its_tables_open(self):
        self.browser.open(self.page, 1280, True)
        self.browser.evaluate("""window.seen = []; window.addEventListener("beforeprint", () => window.seen.push(
          document.querySelectorAll("figure details:not([open])").length,
          Chart.getChart(document.querySelector("canvas")).options.plugins.legend.labels.color))""")
        self.assertEqual(self.browser.pdf()[:5], b"%PDF-")
        self.assertEqual(self.browser.evaluate("window.seen"), [0, "#1d2126"])
        self.assertEqual(self.browser.evaluate('document.querySelectorAll("figure details[open]").length'), 0)


if __name__ == "__main__":
    unittest.main()
