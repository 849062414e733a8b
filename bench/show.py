# SPDX-License-Identifier: MIT
"""Shows what was measured: a table for people, JSON, curves, and the table in bench/README.md."""
import json
import os
import re
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BEGIN, END = "<!-- bench: begin, written by bench/run --publish -->", "<!-- bench: end -->"


def time_of(ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.0f} ns"


def amount(row, value):
    return f"{value:.3g} ‰" if row["unit"] == "lost" else time_of(value)


def ratio_of(result, baseline):
    return "" if result is baseline or "ratio" not in result else f"{result['ratio']:.3g}"


def spread_of(result, baseline):
    if result is baseline or "ratio" not in result:
        return ""
    return f"{result['ratio_q1']:.3g} to {result['ratio_q3']:.3g}"


def verdict(result):
    return "" if "reach" not in result else "yes" if result["met"] else "NO"


COLUMNS = "  {:<27} {:>9} {:>20} {:>8} {:>16} {:>22} {:>4}"


def heading():
    print(COLUMNS.format("", "median", "quartiles", "ratio", "its quartiles", "to reach", "met"), flush=True)


def row(entry):
    print(f"{entry['title']}  [{entry['name']}]")
    if "problem" in entry:
        print(f"  {entry['problem']}")
    results = entry["results"]
    for result in results:
        print(COLUMNS.format(
            result["label"], amount(entry, result["median"]),
            f"{amount(entry, result['q1'])} to {amount(entry, result['q3'])}", ratio_of(result, results[0]),
            spread_of(result, results[0]), result.get("reach", ""), verdict(result)), end="")
        print(f"  lost or twice: {result['count']}" if result.get("count") else "", flush=True)


# --- Curves -----------------------------------------------------------------------------------------------------------

def curve(document, name):
    """x, then the median of each variant; and the variants' labels."""
    points = [entry for entry in document["rows"] if entry["point"][:1] == [name] and entry["results"]]
    labels = [result["label"] for result in points[0]["results"]] if points else []
    return labels, [[entry["point"][1], *(result["median"] for result in entry["results"])] for entry in points]


PLOTS = (
    ("fill", "bind(0) cycle over the share of 1,000 ports that is taken", "% taken", "unset logscale x"),
    ("range", "bind(0) cycle over the size of the range", "ports", "set logscale x"),
    ("processes", "time for each cycle, many processes at once, 2 cores", "processes", "set logscale x 2"),
    ("sessions", "bind(0) cycle over the number of sessions", "sessions", "set logscale x"))


def draw(document, path):
    """One picture; says why where there is none."""
    curves = [(*plot, *curve(document, plot[0])) for plot in PLOTS]
    curves = [plot for plot in curves if len(plot[-1]) > 1]
    if not curves:
        return "no group with a curve was measured"
    if not shutil.which("gnuplot"):
        return "no gnuplot: .ci/install bench"
    with tempfile.TemporaryDirectory() as scratch:
        width, height = (1000, 640) if len(curves) > 2 else (1000, 340)
        lines = [
            f"set terminal svg size {width},{height} font 'sans-serif,12' background rgb 'white'",
            f"set output '{path}'", "set logscale y", "set ylabel 'µs'", "set yrange [1:*]", "set key top left",
            "set grid ytics lc rgb '#dddddd'", "set style data linespoints",
            "set linetype 1 lc rgb '#888888' pt 7 ps 0.5", "set linetype 2 lc rgb '#0072b2' pt 7 ps 0.5",
            "set linetype 3 lc rgb '#d55e00' pt 7 ps 0.5",
            f"set multiplot layout {(len(curves) + 1) // 2},2"]
        for plot, title, x, scale, labels, points in curves:
            data = os.path.join(scratch, plot)
            with open(data, "w", encoding="utf-8") as file:
                for point in points:
                    print(point[0], *(value / 1000 for value in point[1:]), file=file)
            lines += [f"set title '{title}'", f"set xlabel '{x}'", scale]
            names = [label if label in ("kernel", "shim") else f"shim, taken {label}" for label in labels]
            lines.append("plot " + ", ".join(f"'{data}' using 1:{i + 2} title '{name}'"
                                             for i, name in enumerate(names)))
        lines.append("unset multiplot")
        subprocess.run(["gnuplot"], input="\n".join(lines), text=True, check=True)
    with open(path, encoding="utf-8") as file:
        drawn = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(line.rstrip() for line in drawn.splitlines() if line.strip()) + "\n")
    return None


def write_json(document, path):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(rounded(document), file, indent=1, ensure_ascii=False)
        file.write("\n")


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def save(document, directory):
    os.makedirs(directory, exist_ok=True)
    write_json(document, os.path.join(directory, "results.json"))
    why = draw(document, os.path.join(directory, "cost.svg"))
    print(f"\nin {directory}: results.json" + (f"; no picture: {why}" if why else ", cost.svg"))


# --- bench/README.md --------------------------------------------------------------------------------------------------

def markdown(document, instructions):
    machine = document["machine"]
    yield (f"{machine['cpu']}, {machine['cores']} cores of a virtual machine, Linux {machine['kernel']}, "
           f"{machine['libc']}, {machine['system']}; load average of the five minutes before it: {machine['load']:g}.")
    yield "Medians; the quartiles are the ratio's; *without* is the kernel's own, or what the row says.\n"
    yield "| what | without | with | ratio | quartiles | to reach | met |"
    yield "|---|---|---|---|---|---|---|"
    for entry in document["rows"]:
        if not entry["published"]:
            continue
        if "problem" in entry:
            yield f"| {entry['title']} | | {entry['problem']} | | | | |"
        results = entry["results"]
        for result in results[1:]:
            named = result["label"] != "shim" and result["label"] not in entry["title"]
            yield (f"| {entry['title']}{': ' + result['label'] if named else ''} "
                   f"| {amount(entry, results[0]['median'])} | {amount(entry, result['median'])} "
                   f"| {ratio_of(result, results[0])} | {spread_of(result, results[0])} "
                   f"| {result.get('reach', '')} | {verdict(result).lower()} |")
    yield ""
    yield "Instructions that the shim adds to a call (`start`: to a program; `freeport_get`: of a call):\n"
    yield "| path | instructions |"
    yield "|---|---|"
    for line in instructions:
        if line and not line.startswith("#"):
            path, count = line.split()
            yield f"| {path} | {int(count):,} |"


def publish(document):
    write_json(document, os.path.join(HERE, "results.json"))
    why = draw(document, os.path.join(HERE, "cost.svg"))
    if why:
        raise SystemExit(f"bench/run: no picture: {why}")
    readme = os.path.join(HERE, "README.md")
    with open(readme, encoding="utf-8") as file:
        text = file.read()
    with open(os.path.join(HERE, "instructions.txt"), encoding="utf-8") as file:
        part = "\n".join([BEGIN, *markdown(document, file.read().splitlines()), END])
    found = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.S)
    if not found.search(text):
        raise SystemExit(f"bench/run: bench/README.md has no place for the table: {BEGIN} {END}")
    with open(readme, "w", encoding="utf-8") as file:
        file.write(found.sub(lambda _: part, text))
    print("\nwritten: bench/results.json, bench/cost.svg, bench/README.md")
