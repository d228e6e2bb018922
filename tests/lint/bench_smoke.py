#!/usr/bin/env python3
"""Runs one benchmark tiny and checks the document it writes: bench_smoke.py PROGRAM [ARGUMENT...].

Every row has the same columns, every figure is finite and not negative, and a row with "delivered" has 1. No figure
is judged: this machine may be busy.
"""
import json
import math
import subprocess
import sys


def faults(document):
    """What is wrong with a benchmark's document."""
    rows = document.get("rows")
    if not isinstance(document.get("bench"), str) or not isinstance(rows, list) or not rows:
        yield 'not {"bench": name, "rows": [at least one]}'
        return
    for row in rows:
        if list(row) != list(rows[0]):
            yield f"columns {list(row)} beside {list(rows[0])}"
        for key, value in row.items():
            if isinstance(value, float) and not math.isfinite(value) or isinstance(value, (int, float)) and value < 0:
                yield f"{key} is {value} in {row}"
        if row.get("delivered", 1.0) != 1.0:
            yield f"not all delivered: {row}"


def main():
    done = subprocess.run([*sys.argv[1:], "--smoke"], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        return done.returncode
    found = list(faults(json.loads(done.stdout)))
    print("\n".join(found) or done.stdout)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
