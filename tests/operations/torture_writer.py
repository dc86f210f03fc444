"""A writer for the torture test: `python torture_writer.py PATH PLAN`, to be killed at any moment.

PLAN is JSON: a list of [pause in ms, file with the bytes, offset, size]; each piece is appended in one write.
It imports nothing of ours, so that it starts at once.
"""

import json
import os
import sys
import time


def main() -> None:
    path, plan = sys.argv[1:]
    with open(plan, encoding="ascii") as file:
        pieces = json.load(file)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    for pause, name, offset, size in pieces:
        time.sleep(pause / 1000)
        source = os.open(name, os.O_RDONLY)
        os.write(descriptor, os.pread(source, size, offset))
        os.close(source)


if __name__ == "__main__":
    main()
