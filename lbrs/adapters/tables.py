"""Tables with named columns: what is wrong with one is said of its column, and radii go back into
its units."""

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from lbrs.certificate import Certificate, needed

if TYPE_CHECKING:
    from pandas import DataFrame


def refuse_columns(X: Any) -> None:
    """A ValueError that names the first column of a DataFrame without numbers in every row."""
    if not hasattr(X, "columns") or not hasattr(X, "dtypes"):
        return
    for name, kind in zip(X.columns, X.dtypes, strict=True):
        column = X.loc[:, name] if list(X.columns).count(name) == 1 else None
        if column is None:
            raise ValueError(f"X must have columns of different names, got {name!r} twice")
        if getattr(kind, "kind", "O") not in "iufb":
            raise ValueError(f"X must hold numbers, got dtype {kind} in the column {name!r}")
        missing = int(column.isna().sum())
        if missing:
            raise ValueError(
                f"X must have a number in every row, got {missing} missing in the column {name!r}"
            )


def feature_table(X: Any, certificate: Certificate, reach: Tensor, labels: Any) -> "DataFrame":
    """A pandas table, a row a point: its prediction, and how far each feature alone may move in its
    own unit, `reach` (d,) times the certified radius."""
    d = len(reach)
    names = list(X.columns) if hasattr(X, "columns") else [f"x{i}" for i in range(d)]
    radii = certificate.radius.cpu().numpy()[:, None] * reach.cpu().numpy()
    frame = needed("pandas").DataFrame(radii, index=getattr(X, "index", None), columns=names)
    frame.insert(0, "prediction", np.asarray(labels))
    return frame
