"""Computes all problems anew, and replaces the published numbers of the project in this folder."""

import torch

from lbrs.experiments.problems import PUBLISHED, problems, save, study

torch.set_num_threads(1)
save([study(*problem) for problem in problems()], PUBLISHED)
