#!/usr/bin/env python3
"""hwnas against its peers, alternately, in one go: ours, peer, ours, peer, ... A ratio is the time of the peer by ours,
both of one round: above 1 we are faster. Printed are medians over the rounds and the range of the ratios.

Peers are what the given Pythons can import: torch (both layouts, torch.compile where there is one, the oneDNN kernels
alone), onnxruntime. What is missing or fails is said and left out. A peer prepares and warms up once, and is stopped
while others are measured, so that its threads cannot wait by spinning on our cores.

`./run.sh bench peers` installs what it can and calls this with the programs it has built.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SPACES = ["pointwise", "paper", "separable"]
OPS = [f"{op}/{direction}/{extent}{window}"
       for op, window, directions in [
           ("depthwise_conv", "_k3", ["forward", "backward_data", "backward_weight"]),
           ("conv", "_to16_k1", ["forward", "backward_data", "backward_weight"]),
           ("max_pool", "_k3", ["forward", "backward"]),
           ("batch_norm", "", ["forward", "backward"])]
       for direction in directions
       for extent in ["n2_28x28x16", "n128_28x28x16"]]
WORKS = ([f"search_step/{space}/{batch}" for batch in (128, 256) for space in SPACES] +
         [f"train_step/{space}/128" for space in SPACES] +
         [f"inference/{space}/{batch}/threads:{threads}" for space in SPACES for batch in (1, 64) for threads in (1, 2)] +
         OPS)


def say(text):
    print(text, file=sys.stderr, flush=True)


def busy_elsewhere(seconds=0.3):
    """Part of the processors' time that others take while we wait; None where Linux does not say."""
    def times():
        with open("/proc/stat") as stat:
            numbers = [int(word) for word in stat.readline().split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]
    try:
        before = times()
        time.sleep(seconds)
        after = times()
    except (OSError, ValueError):
        return None
    return 1 - (after[1] - before[1]) / max(1, after[0] - before[0])


def commit():
    """The commit of this checkout, None outside git; + where files differ from it."""
    def git(*arguments):
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True).stdout
    try:
        return git("rev-parse", "--short", "HEAD").strip() + "+" * bool(git("status", "--porcelain", "-uno").strip())
    except (OSError, subprocess.CalledProcessError):
        return None


def processor():
    try:
        with open("/proc/cpuinfo") as info:
            for line in info:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


class Missing(Exception):
    """A peer that cannot be compared with, and why."""


class Ours:
    def __init__(self, program, threads):
        self.program, self.parameters, self.context = program, None, {}
        self.environment = {**os.environ, "HWNAS_THREADS": str(threads)}

    def measure(self, work, seconds):
        command = [self.program, f"--benchmark_filter=^{re.escape(work)}/real_time$", f"--benchmark_min_time={seconds}",
                   "--benchmark_format=json"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        output = json.loads(done.stdout or "{}") if done.returncode == 0 else {}
        entries = output.get("benchmarks", [])
        if not entries or "error_message" in entries[0]:
            sys.exit(f"compare.py: {self.program} did not run {work}: {(done.stderr or done.stdout).strip()[-300:]}")
        self.parameters, self.context = entries[0].get("parameters"), output["context"]
        return entries[0]["real_time"] * {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}[entries[0]["time_unit"]]


class Peer:
    """A process of torch_peer.py or onnxruntime_peer.py; the protocol is in peer.py."""

    def __init__(self, label, command, patience):
        self.label, self.patience = label, patience
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        text=True, start_new_session=True)
        try:
            self.description = self.answer()
        except BaseException:  # an interrupt, too, must leave no process
            self.close()
            raise
        self.signal(signal.SIGSTOP)

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def answer(self):
        if not select.select([self.process.stdout], [], [], self.patience)[0]:
            raise Missing(f"no answer within {self.patience} s")
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise Missing((self.errors.read().strip().splitlines() or ["ended without a word"])[-1][:300])
        answer = json.loads(line)
        if "error" in answer:
            raise Missing(answer["error"])
        return answer

    def measure(self, seconds):
        self.signal(signal.SIGCONT)
        try:
            self.process.stdin.write(f"run {seconds}\n")
            self.process.stdin.flush()
            return self.answer()["seconds"]
        except BrokenPipeError:
            raise Missing("has ended")
        finally:
            self.signal(signal.SIGSTOP)

    def close(self):
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self.process.wait()


def pythons_with(module, pythons):
    """{version: Python} of those that can import it, the first of each version."""
    found = {}
    for python in pythons:
        probe = f"import {module}; print({module}.__version__, hasattr({module}, 'compile'))"
        try:
            done = subprocess.run([python, "-c", probe], capture_output=True, text=True)
        except OSError:
            continue
        if done.returncode == 0:
            version, compiles = done.stdout.split()
            found.setdefault(version, (python, compiles == "True"))
    return found


def candidates(work, torches, runtimes, options):
    """(label, command) of every peer for a piece of work."""
    if work.startswith("inference/"):
        directory = options.scratch / work.split("/")[1]
        for version, (python, _) in runtimes.items():
            if not (directory / "network.onnx").exists():
                subprocess.run([options.export_program, work.split("/")[1], directory], check=True)
            yield f"onnxruntime {version}", [python, HERE / "onnxruntime_peer.py", work, "--network", directory]
        return
    step = work.split("/")[0] in ("search_step", "train_step")
    layouts = ["contiguous", "channels_last"] + (["onednn"] if work.split("/")[0] in ("depthwise_conv", "conv") else [])
    for version, (python, compiles) in torches.items():
        command = [python, HERE / "torch_peer.py", work, "--threads", str(options.threads)]
        for layout in layouts:
            label = "oneDNN kernel of torch" if layout == "onednn" else "torch"
            suffix = "" if layout == "onednn" else f", {layout}"
            yield f"{label} {version}{suffix}", command + ["--layout", layout]
        if step and compiles and options.compile:
            for layout in layouts:
                yield f"torch {version}, {layout}, compiled", command + ["--layout", layout, "--compile"]


def shown(seconds, work):
    """Images/s where a call is a batch, else microseconds."""
    batch = images(work)
    return f"{batch / seconds:,.0f} images/s" if batch else f"{1e6 * seconds:,.1f} us"


def images(work):
    return int(work.split("/")[2]) if work.split("/")[0] in ("search_step", "train_step", "inference") else None


def compare(work, ours, torches, runtimes, options, results):
    found, busy = 0, busy_elsewhere()
    if busy is not None and busy > 0.1:  # threads that wait for each other at barriers, as OpenMP's do, suffer most
        say(f"{work}: others use {busy:.0%} of this machine; its ratios are not to be trusted")
    for label, command in candidates(work, torches, runtimes, options):
        try:
            peer = Peer(label, command, options.patience)
        except Missing as reason:
            say(f"{work}: without {label}: {reason}")
            continue
        try:
            rounds = [(ours.measure(work, options.seconds), peer.measure(options.seconds)) for _ in range(options.rounds)]
        except Missing as reason:
            say(f"{work}: without {label}: {reason}")
            continue
        finally:
            peer.close()
        expected = peer.description.get("parameters")
        if expected is not None and ours.parameters is not None and expected != ours.parameters:
            say(f"{work}: without {label}: it has {expected} parameters, ours {ours.parameters:.0f}")
            continue
        found += 1
        ratios = [theirs / mine for mine, theirs in rounds]
        mine, theirs = (statistics.median(side) for side in zip(*rounds))
        results.append({"work": work, "peer": label, "ours_seconds": mine, "peer_seconds": theirs,
                        "ratio": statistics.median(ratios), "ratio_range": [min(ratios), max(ratios)], "busy_elsewhere": busy,
                        "rounds": [{"ours": mine, "peer": theirs} for mine, theirs in rounds]})
        print(f"{work:<47}{shown(mine, work):>18}{shown(theirs, work):>18}{statistics.median(ratios):>8.2f}"
              f"  {min(ratios):.2f} to {max(ratios):.2f}  {label}", flush=True)
    if not found:
        print(f"{work:<47}{shown(ours.measure(work, options.seconds), work):>18}  no peer here", flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    programs = ROOT / "build/release/benchmarks"
    add("filter", nargs="?", default="", help="regular expression; default: all work")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=1.0, help="of each measurement, at least")
    add("--threads", type=int, default=os.cpu_count(), help="of both sides, where the work does not name its own")
    add("--json", metavar="FILE", help="writes every round there")
    add("--no-compile", dest="compile", action="store_false", help="without torch.compile, whose preparation takes minutes")
    add("--patience", type=float, default=600, help="seconds that a peer may take to prepare or answer")
    add("--list", action="store_true", help="prints the work and ends")
    add("--program", default=programs / "hwnas_benchmarks")
    add("--export-program", default=programs / "hwnas_export_network")
    add("--python", action="append", help="a Python that may have peers; may be repeated. Default: those of "
        "build/peers-*, the system's and this one")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds <= 0 or options.threads < 1:
        parser.error("--rounds, --threads and --seconds must be above 0")
    if options.python is None:
        options.python = [*map(str, sorted(ROOT.glob("build/peers-*/bin/python"))), "/usr/bin/python3", sys.executable]
    return options


def main():
    options = parse()
    works = [work for work in WORKS if re.search(options.filter, work)]
    if not works:
        sys.exit(f"compare.py: no work matches {options.filter!r}; --list shows all")
    if options.list:
        print("\n".join(works))
        return
    torches, runtimes = (pythons_with(module, options.python) for module in ("torch", "onnxruntime"))
    for name, found in [("torch", torches), ("onnxruntime", runtimes)]:
        say(f"{name}: {', '.join(found) if found else 'not found, its comparisons are left out'}")
    results = []
    print(f"{'work':<47}{'ours':>18}{'peer':>18}{'ratio':>8}  range, peer; {options.threads} threads,"
          f" {options.rounds} round{'s' * (options.rounds != 1)}")
    with tempfile.TemporaryDirectory() as scratch:
        options.scratch = pathlib.Path(scratch)
        ours = Ours(str(options.program), options.threads)
        for work in works:
            compare(work, ours, torches, runtimes, options, results)
            if options.json:  # what is there, should the next peer never end
                report = {"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "processor": processor(),
                          "hwnas": ours.context.get("hwnas_version"), "commit": commit(),
                          "compiler": ours.context.get("hwnas_compiler"), "kernels": ours.context.get("hwnas_kernels"),
                          "threads": options.threads, "seconds": options.seconds, "results": results}
                pathlib.Path(options.json).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
