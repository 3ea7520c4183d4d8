"""Experiments on next to nothing, for the tests of more than one room."""

from lbrs.experiments.configs import ImagesConfig, SpiralConfig

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
