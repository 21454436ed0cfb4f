"""Linear lifting: ridge regression from detections to 3-D joints. The floor that every learned model must beat."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Lifting:
    """Ridge regression from features to root-relative joints, both in the camera's axes."""

    def __init__(self, features: NDArray, joints: NDArray, ridge: float = 1e-2) -> None:
        """features (n, f); joints (n, j, 3) metres minus the pelvis. ridge counts per sample and standardised feature."""
        self._mean, self._scale = features.mean(0), features.std(0) + 1e-6
        inputs = self._inputs(features)
        gram = inputs.T @ inputs + ridge * len(inputs) * np.eye(inputs.shape[1])
        self._weights = np.linalg.solve(gram, inputs.T @ joints.reshape(len(joints), -1).astype(np.float64))
        self._joints = joints.shape[1]

    def __call__(self, features: NDArray) -> Floats:
        """Joints (n, j, 3), metres, root-relative."""
        return (self._inputs(features) @ self._weights).reshape(-1, self._joints, 3)

    def _inputs(self, features: NDArray) -> Floats:
        scaled = (features.astype(np.float64) - self._mean) / self._scale
        return np.concatenate([scaled, np.ones((len(scaled), 1))], 1)
