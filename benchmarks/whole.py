"""A whole experiment, as `lbrs run` computes it with all cores. Run as a program it prints what it
took:

python benchmarks/whole.py mnist quick
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch
from memory import peak

from lbrs.experiments.plan import configure
from lbrs.experiments.records import find_project
from lbrs.experiments.running import run as compute
from lbrs.experiments.runs import load_runs

if __name__ == "__main__":
    name, profile = sys.argv[1:]
    torch.set_num_threads(os.cpu_count())
    config = configure(load_runs(find_project())[name], profile, {})
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        record = compute(
            config, run=name, profile=profile, seed=0, device="cpu", folder=Path(folder) / "records"
        )
        seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "mebibytes": peak(), "test_points": record.test_points}))
