"""Muon: Adam for most variables, steps of equal length in every direction for the kernels of hidden convolutions."""

from __future__ import annotations

import keras
from keras import ops

# A rate found for Adam, 0.001 to 0.005, turns a kernel by 1 to 5 % of its length.
_RELATIVE_RATE = 10.0
_ROUNDS = 5
_LINEAR, _CUBIC, _QUINTIC = 3.4445, -4.7750, 2.0315
_EPSILON = 1e-7


@keras.saving.register_keras_serializable(package="animegan_tf")
class Muon(keras.optimizers.Adam):
    """Adam, but a hidden convolution's kernel [kh, kw, I, O] moves by its orthogonalised momentum.

    As a matrix [kh kw I, O] the momentum's singular values are brought near 1: what few pictures say of a rare
    direction counts as much as what all say of the common ones. A step is 10 x rate of the kernel's own length, and
    then the kernel is brought back to that length, which the norm behind it takes away: left free, it grew at every
    step.
    Kernels of convolutions with a bias, such as the last (the picture), depthwise kernels, biases and norms are Adam's.

    Source: Jordan 2024, Muon (github.com/KellerJordan/Muon), its Newton-Schulz coefficients, Nesterov momentum.
    Differs: the momentum is `beta_1`; steps are relative to the length of a kernel and leave it as it is, which suits
    kernels in front of norms (Heo et al. 2021, AdamP). keras.optimizers.Muon leaves convolutions to Adam.

    Args: those of keras.optimizers.Adam, whose variables it also has.
    """

    def build(self, variables):
        super().build(variables)
        # What has no norm behind it has a bias: there the length of a kernel means something, and 0 may be its start.
        biased = {variable.path.removesuffix("bias") for variable in variables if variable.path.endswith("bias")}
        kernels = [variable for variable in variables if len(variable.shape) == 4]
        plain = [kernel for kernel in kernels[:-1] if kernel.path.removesuffix("kernel") not in biased]
        hidden = [kernel for kernel in plain if kernel.shape[-1] > 1]  # 1: depthwise
        self._hidden = {self._get_variable_index(kernel) for kernel in hidden}

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        if index not in self._hidden:
            super().update_step(gradient, variable, learning_rate)
            return
        gradient, momentum = ops.cast(gradient, variable.dtype), self._momentums[index]
        self.assign(momentum, self.beta_1 * momentum + gradient)
        step = orthogonalised(gradient + self.beta_1 * momentum)
        length, rate = _norm(variable), _RELATIVE_RATE * ops.cast(learning_rate, variable.dtype)
        moved = variable - rate * length / (_norm(step) + _EPSILON) * step
        self.assign(variable, length / (_norm(moved) + _EPSILON) * moved)


def orthogonalised(kernel):
    """Returns `kernel` [..., O], as a matrix of O columns, with all singular values between about 0.7 and 1.2.

    Those below a thousandth of the largest stay smaller.
    """
    matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
    wide = matrix.shape[0] < matrix.shape[1]
    x = matrix if wide else ops.transpose(matrix)
    x = x / (_norm(x) + _EPSILON)
    for _ in range(_ROUNDS):
        square = ops.matmul(x, ops.transpose(x))
        x = _LINEAR * x + ops.matmul(_CUBIC * square + _QUINTIC * ops.matmul(square, square), x)
    return ops.reshape(x if wide else ops.transpose(x), kernel.shape)


def _norm(values):
    return ops.sqrt(ops.sum(ops.square(values)))
