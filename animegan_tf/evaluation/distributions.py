"""How far two sets of pictures are apart, as clouds of feature vectors: FID and KID.

Both compare sets without pairing pictures, and both depend on the network that made the vectors: figures made with
different networks have nothing to do with each other.
"""

from __future__ import annotations

import numpy as np

KID_SUBSET = 1000
KID_SUBSETS = 100


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Returns FID, the squared Fréchet distance of the normal distributions fitted to two sets of vectors.

    |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2), with the unbiased covariances.

    Source: Heusel et al. 2017, eq. 6; Dowson and Landau 1982.
    Differs: no square root of a matrix, which is inexact where C1 C2 has no full rank, as with fewer pictures than
    features. With C = X^T X its trace is the sum of the singular values of X1 X2^T, exact in any case.

    Args:
      one, other: [n, D] and [m, D] float, n and m at least 2.
    """
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    roots = [_covariance_root(vectors) for vectors in (one, other)]
    shift = np.square(one.mean(0) - other.mean(0)).sum()
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    # Of equal sets, rounding may leave -1e-12.
    return max(0.0, float(shift + sum(np.square(root).sum() for root in roots) - 2 * shared))


def kernel_distance(one: np.ndarray, other: np.ndarray, *, seed: int = 0) -> float:
    """Returns KID, the unbiased squared maximum mean discrepancy with the kernel (x . y / D + 1)^3.

    0 on average for two draws from one distribution, and below 0 for half of them. Sets larger than 1000 are compared
    by the mean over 100 random subsets of 1000 each.

    Source: Binkowski et al. 2018, section 4; Gretton et al. 2012, eq. 3.

    Args:
      one, other: [n, D] and [m, D] float, n and m at least 2.
      seed: of the subsets.
    """
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if max(len(one), len(other)) <= KID_SUBSET:
        return _squared_discrepancy(one, other)
    random = np.random.default_rng(seed)

    def drawn(vectors: np.ndarray) -> np.ndarray:
        return vectors[random.permutation(len(vectors))[:KID_SUBSET]]

    return float(np.mean([_squared_discrepancy(drawn(one), drawn(other)) for _ in range(KID_SUBSETS)]))


def _covariance_root(vectors: np.ndarray) -> np.ndarray:
    """Returns X, [min(n, D), D], with X^T X the unbiased covariance."""
    centred = (vectors - vectors.mean(0)) / np.sqrt(len(vectors) - 1)
    return centred if len(centred) <= centred.shape[1] else np.asarray(np.linalg.qr(centred, mode="r"))


def _squared_discrepancy(one: np.ndarray, other: np.ndarray) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def without_self(vectors: np.ndarray) -> float:
        values, count = kernel(vectors, vectors), len(vectors)
        return (values.sum() - np.trace(values)) / (count * (count - 1))

    return float(without_self(one) + without_self(other) - 2 * kernel(one, other).mean())
