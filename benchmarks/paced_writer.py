"""Write a file in given steps, and tell afterwards when each step was done.

`python -m benchmarks.paced_writer FILE STEPS PAUSE`: STEPS is a JSON list of positions in the bytes
that come on stdin. Each step is appended to FILE in two writes with a pause between them, so that a
follower is woken by the first and has to wait for the second. The time of every step is taken right
before its second write, and all of them go to stdout as JSON when everything is written: nothing
that a follower could see tells it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import pairwise


def main() -> None:
    """Write."""
    path, packed_steps, pause_text = sys.argv[1:]
    data = memoryview(sys.stdin.buffer.read())
    steps, pause = json.loads(packed_steps), float(pause_text)
    times = []
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    for start, end in pairwise(steps):
        time.sleep(pause)
        half = (start + end) // 2
        os.write(descriptor, data[start:half])
        time.sleep(pause / 4)
        times.append(time.monotonic_ns())
        os.write(descriptor, data[half:end])
    print(json.dumps(times))


if __name__ == "__main__":
    main()
