"""Experiments on next to nothing, for the tests of more than one room."""

from lbrs.experiments.configs import (
    CertifiedConfig,
    ImagesConfig,
    SensitivityConfig,
    SpiralConfig,
)

TINY = {
    "spiral": SpiralConfig(
        train_points=60,
        reference_points=30,
        test_points=50,
        raster=8,
        exact_points=4,
        exact_alphas=(0.0, 1.0),
        exact_radii=(0.5, 1.0),
    ),
    "digits": ImagesConfig(
        dataset="digits",
        test_points=30,
        channels=(4, 4, 4),
        epochs=2,
        sigma_points=3,
        radius_points=2,
        samples=40,
    ),
}

CERTIFIED = CertifiedConfig(
    dataset="digits",
    reference_points=(4, 10),
    train_points=60,
    test_points=20,
    width=4,
    epochs=3,
    alphas=(0.0, 0.1, 0.5, 2.0),
    linf_alphas=(0.0, 0.01, 0.05, 0.2),
    radius_points=7,
    sigmas=(0.1, 0.3),
    channels=(4, 4, 4),
    noisy_epochs=1,
    samples=30,
    attacked=4,
)

SENSITIVITY = SensitivityConfig(
    dataset="digits",
    test_points=30,
    channels=4,
    epochs=2,
    reference_points=(2, 10),
    positives=(1, 8),
    widths=(2, 4),
    samples=40,
    sigmas=(0.0, 0.3),
    alpha_points=9,
    radius=0.3,
)

BY_KIND = {
    "spiral": TINY["spiral"],
    "images": TINY["digits"],
    "certified": CERTIFIED,
    "sensitivity": SENSITIVITY,
}
"""By the kind of the experiment."""
