"""What the peers share: how compare.py talks to them.

A peer prepares one piece of work, warms it up and prints a line of JSON that says who it is. Then, for every line
`run SECONDS` that it reads, it repeats the work for about so long and prints {"seconds": of one call, the mean}. Whatever goes
wrong is the line {"error": ...}.
"""

import json
import os
import sys
import time

# The line to compare.py; what libraries print goes to the errors.
_answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def say(**answer):
    _answers.write(json.dumps(answer) + "\n")
    _answers.flush()


def timed(call, seconds):
    """Mean seconds of a call."""
    calls, begin = 0, time.perf_counter()
    batch = 1
    while True:
        for _ in range(batch):
            call()
        calls += batch
        passed = time.perf_counter() - begin
        if passed >= seconds:
            return passed / calls
        batch = max(1, min(calls, int(0.5 * (seconds - passed) * calls / passed)))


def serve(prepare):
    """prepare() -> (description, measure), measure(seconds) -> mean seconds of a call."""
    try:
        description, measure = prepare()
        say(**description)
        for line in sys.stdin:
            say(seconds=measure(float(line.split()[1])))
    except Exception as error:  # all of them: compare.py shows the reason and goes on
        say(error=f"{type(error).__name__}: {error}".splitlines()[0][:300])
        sys.exit(1)
