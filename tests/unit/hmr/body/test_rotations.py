"""Rotation vectors and matrices: by hand, there and back, and at the zero vector."""

import math

import numpy as np
import roma
import torch

from hmr.body.rotations import rotation_matrices, rotation_vectors


def test_a_quarter_turn_by_hand():
    matrix = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(rotation_vectors(matrix[None])[0], [0, 0, math.pi / 2], atol=1e-6)
    torch.testing.assert_close(rotation_matrices(torch.tensor([0, 0, math.pi / 2])), matrix, atol=1e-6, rtol=0)


def test_there_and_back_and_as_roma_has_it():
    vectors = torch.randn(40, 24, 3, generator=torch.Generator().manual_seed(0))
    vectors = vectors / vectors.norm(dim=-1, keepdim=True) * torch.rand(40, 24, 1) * 3.1
    matrices = rotation_matrices(vectors)
    torch.testing.assert_close(matrices, roma.rotvec_to_rotmat(vectors), atol=1e-5, rtol=0)
    np.testing.assert_allclose(rotation_vectors(matrices), vectors, atol=2e-3)


def test_small_turns_are_exact_and_differentiable():
    for length in (0.0, 1e-8, 9e-4, 1.1e-3):
        vector = torch.tensor([length, 0, 0], dtype=torch.float64, requires_grad=True)
        matrix = rotation_matrices(vector)
        want = [[1, 0, 0], [0, math.cos(length), -math.sin(length)], [0, math.sin(length), math.cos(length)]]
        np.testing.assert_allclose(matrix.detach(), want, atol=1e-12)
        matrix[2, 1].backward()
        np.testing.assert_allclose(vector.grad, [math.cos(length), 0, 0], atol=1e-6)
