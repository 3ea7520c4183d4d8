"""Where the computation runs: a GPU if there is one, and then with the same results; nothing asks for one."""

import pytest
import torch

from lbrs.experiments import run
from lbrs.stages import pick_device
from test_experiments import TINY

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def numbers(values: object) -> list[float]:
    """All numbers in nested results, in their order."""
    if isinstance(values, dict):
        values = [values[key] for key in sorted(values)]
    return [found for value in values for found in numbers(value)] if isinstance(values, list) else [float(values)] if isinstance(values, int | float) else []


def test_auto_takes_a_gpu_only_where_there_is_one(monkeypatch):
    for there, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert pick_device("auto").type == kind and pick_device("cpu").type == "cpu"


@pytest.mark.parametrize("given", ["cuda", "tpu", "", None])
def test_a_device_that_is_not_there_is_named(given, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device must be 'auto', 'cpu'"):
        pick_device(given)


@gpu
def test_the_spiral_is_the_same_on_a_gpu(tmp_path):
    cpu, cuda = (run(TINY["spiral"], run="spiral", profile="quick", seed=0, device=device, folder=tmp_path / device / "records") for device in ("cpu", "cuda"))
    assert numbers(cuda.results["norms"]) == pytest.approx(numbers(cpu.results["norms"]), rel=1e-9, abs=1e-9)
    assert numbers(cuda.results["accuracy"]) == pytest.approx(numbers(cpu.results["accuracy"]), rel=1e-9)


@gpu
def test_images_are_the_same_on_a_gpu_up_to_float32_and_other_draws(tmp_path):
    cpu, cuda = (run(TINY["digits"], run="digits", profile="quick", seed=0, device=device, folder=tmp_path / device / "records") for device in ("cpu", "cuda"))
    assert cpu.test_hash == cuda.test_hash
    for first, second in zip(cpu.results["sets"], cuda.results["sets"], strict=True):
        assert second["cnn"] == pytest.approx(first["cnn"], abs=0.07) and second["nearest"] == pytest.approx(first["nearest"], abs=0.07)
        assert second["normal"] == pytest.approx(first["normal"], abs=0.15)
