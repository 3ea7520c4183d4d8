"""Whole experiments at both profiles, each in a fresh process with all cores."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from measuring import FULL


@pytest.mark.benchmark(group="runs")
@pytest.mark.parametrize("profile", ["quick", "paper"])
@pytest.mark.parametrize("run", FULL.runs)
def test_a_whole_run(benchmark, sizes, run, profile):
    if (run, profile) not in sizes.whole:
        pytest.skip(f"size {sizes.name} leaves it out")
    command = [sys.executable, str(Path(__file__).with_name("whole.py")), run, profile]
    done = benchmark.pedantic(
        subprocess.run,
        args=(command,),
        kwargs={"check": True, "capture_output": True, "text": True},
        rounds=1,
    )
    benchmark.extra_info.update(
        run=run, profile=profile, threads=os.cpu_count(), **json.loads(done.stdout.splitlines()[-1])
    )
