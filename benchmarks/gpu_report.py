"""What gpu_report.sh does with numbers. `names DIR` prints those of our benchmarks that peers may have, one a line.
`results DIR [FILE]` puts together what lies in DIR: ours*.json (Google Benchmark), cudnn.json and torch.json ({"seconds": {name:
{plan: seconds}}}), gpu (a line of nvidia-smi), clocks.SECTION (MHz, a line a second), sections (name, tab, how it ended),
problems, tests, sanitizer; any may be missing, and JSON that was cut short counts as far as it goes. It prints problems first, then a table, and writes FILE, by
default docs/results/gpu/<GPU>-<date>.json."""

import datetime
import glob
import json
import os
import re
import sys

PEERS = ("cudnn", "torch")
SCALE = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}
COMPARED = ("depthwise_conv/", "conv/", "max_pool/", "average_pool/", "batch_norm/", "relu/", "softmax/", "gumbel_softmax/",
            "linear/", "adam/step/", "search_step/", "train_step/")


def salvage(text):
    """JSON; where it was cut short, what was complete: cut behind the last bracket that closes, all others closed."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    open_brackets, in_string, escaped, complete = [], False, False, "{}"
    for i, c in enumerate(text):
        if in_string:
            in_string, escaped = escaped or c != '"', c == "\\" and not escaped
        elif c == '"':
            in_string = True
        elif c in "{[":
            open_brackets.append("}" if c == "{" else "]")
        elif c in "}]":
            if not open_brackets or open_brackets.pop() != c:
                break
            complete = text[:i + 1] + "".join(reversed(open_brackets))
    try:
        found = json.loads(complete)
        return found if isinstance(found, dict) else {}
    except ValueError:
        return {}


def read(work, name):
    path = os.path.join(work, name)
    if not os.path.exists(path):
        return ""
    with open(path, errors="replace") as file:
        return file.read()


def clocks_of(work):
    """{section: [lowest, middle, highest clock of the multiprocessors in MHz]}"""
    clocks = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(work), "clocks.*"))):
        found = sorted(int(line) for line in read(work, os.path.basename(path)).split() if line.isdigit())
        if found:
            clocks[os.path.basename(path).split(".", 1)[1]] = [found[0], found[len(found) // 2], found[-1]]
    return clocks


def ours_of(work):
    """All groups of our benchmarks as one."""
    ours = {"context": {}, "benchmarks": []}
    order = [line.split("\t")[0] for line in read(work, "sections").splitlines()]
    rank = {f"ours.{name}.json": i for i, name in enumerate(order)}
    names_found = [os.path.basename(path) for path in glob.glob(os.path.join(glob.escape(work), "ours*.json"))]
    for name in sorted(names_found, key=lambda n: (rank.get(n, -1), n)):
        group = salvage(read(work, name))
        ours["context"] = ours["context"] or group.get("context", {})
        ours["benchmarks"] += [b for b in group.get("benchmarks", []) if "real_time" in b]
    return ours


def plain(name):
    """The name as we give it, without what Google Benchmark adds."""
    return "/".join(p for p in name.split("/") if p not in ("manual_time", "real_time") and not p.startswith("iterations"))


def names(ours):
    found = [plain(b["name"]) for b in ours["benchmarks"]]
    return [name for name in found if name.startswith(COMPARED) and "_of" not in name]


def rounds(plan):
    """Whether a plan may round products to TF32: no baseline of ours, which do not."""
    return "tf32" in plan


def compare(name, seconds, peers):
    """What the peers need for it: all plans, the best of each, the best TF32 one, and the ratio to the best of all."""
    row, best = {}, None
    for peer in PEERS:
        plans = peers[peer].get("seconds", {}).get(name) or {}
        if not plans:
            continue
        row[peer] = plans
        for plan in plans:
            if not rounds(plan) and (best is None or plans[plan] < best[0]):
                best = (plans[plan], f"{peer}: {plan}")
        rounded = [s for plan, s in plans.items() if rounds(plan)]
        if rounded:
            row["ratio_tf32"] = min(rounded) / seconds
    if best:
        row |= {"best": best[1], "ratio": best[0] / seconds}
    return row


def merge(ours, peers):
    rows = []
    for b in ours["benchmarks"]:
        name = plain(b["name"])
        row = {"name": name, "seconds": b["real_time"] * SCALE[b["time_unit"]]}
        row |= {k: b[k] for k in ("GB/s", "of_copy", "of_floor", "GFLOP/s", "items_per_second", "p10_us", "p90_us") if k in b}
        rows.append(row | compare(name, row["seconds"], peers))
    return rows


def table(rows):
    """A line a benchmark: microseconds, percent of a copy and of what memory and arithmetic allow, the best of cuDNN and
    cuBLAS and of PyTorch, how many times ours the better is."""
    lines = [f"{'':58}{'us':>9}{'% of copy':>11}{'of floor':>10}{'NVIDIA us':>10}{'torch us':>10}{'ratio':>8}{'tf32':>8}  the better one"]
    for row in rows:
        line = f"{row['name']:58}{row['seconds'] * 1e6:9.2f}"
        line += f"{row['of_copy']:11.0f}" if "of_copy" in row else " " * 11
        line += f"{row['of_floor']:10.0f}" if "of_floor" in row else " " * 10
        for peer in PEERS:
            exact = [s for plan, s in row.get(peer, {}).items() if not rounds(plan)]
            line += f"{min(exact) * 1e6:10.2f}" if exact else " " * 10
        for ratio in ("ratio", "ratio_tf32"):
            line += f"{row[ratio]:8.2f}" if ratio in row else " " * 8
        lines.append((line + "  " + row.get("best", "")).rstrip())
    return lines


def results(work, out):
    gpu = read(work, "gpu").strip()
    ours = ours_of(work)
    peers = {peer: salvage(read(work, f"{peer}.json") or "{}") for peer in PEERS}
    problems = read(work, "problems").splitlines()
    now = datetime.datetime.now(datetime.timezone.utc)
    result = {"gpu": gpu, "date": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "context": ours["context"],
              "problems": problems,
              "sections": dict(line.split("\t", 1) for line in read(work, "sections").splitlines() if "\t" in line),
              "clocks_mhz": clocks_of(work), "tests": read(work, "tests").strip().splitlines()[-3:], "sanitizer": read(work, "sanitizer").splitlines(),
              "peers": {peer: {k: v for k, v in peers[peer].items() if k != "seconds"} for peer in PEERS},
              "results": merge(ours, peers)}
    print("\n".join([f"!! {problem}" for problem in problems] + [gpu] + table(result["results"])))
    if not out:
        out = f"docs/results/gpu/{re.sub('[^A-Za-z0-9]+', '-', gpu.split(',')[0]).strip('-')}-{result['date'][:10]}.json"
        os.makedirs(os.path.dirname(out), exist_ok=True)
    with open(out, "w") as file:
        json.dump(result, file, indent=1)
    print("written", out)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "names":
        print("\n".join(names(ours_of(sys.argv[2]))))
    elif len(sys.argv) in (3, 4) and sys.argv[1] == "results":
        results(sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else "")
    else:
        sys.exit(__doc__)
