"""The server's arithmetic in numpy, bit for bit: float32 with fused multiply-add, and its own log1p and exp (kernels/kernels.h).

numpy has no fused multiply-add, but float64 can stand for one exactly. A product of two float32 has at most 48 bits, so it is exact
in float64. Its sum with the third is rounded to 53 bits, and rounding that again to 24 bits goes wrong only where the 53 bits lie
on the middle between two float32 while the exact sum does not. There the sum's error (Knuth's TwoSum, exact) says to which side
the exact sum lies, and the 53 bits are moved one step to that side before the second rounding, as rounding to odd does.

>>> a = np.float32(1 + 2**-12)
>>> float(fma(a, a, np.float32(2**-60)) - np.float32(1 + 2**-11)), float(np.float32(a * a) - np.float32(1 + 2**-11))
(1.1920928955078125e-07, 0.0)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

BELOW = np.int64((1 << 29) - 1)  # the bits of a float64 behind those of a float32
MIDDLE = np.int64(1 << 28)
NORMAL_MIN = np.float32(2.0**-126)  # below it a float32 has fewer bits
ONE = np.float32(1)

# kernels/maps.h
LOG = [
    np.float32(float.fromhex(text))
    for text in (
        "-0x1.07a796p-3",
        "0x1.1e718ep-3",
        "-0x1.f33d4cp-4",
        "0x1.1ed482p-3",
        "-0x1.559c2ap-3",
        "0x1.99d05ap-3",
        "-0x1.fffefap-3",
        "0x1.555506p-2",
        "-0x1.000000p-1",
    )
]
EXP = [
    np.float32(float.fromhex(text))
    for text in ("0x1.6a4f26p-10", "0x1.123980p-7", "0x1.5558aep-5", "0x1.555492p-3", "0x1.fffffcp-2", "1", "1")
]
LN2, LN2_HIGH, LN2_LOW = (np.float32(float.fromhex(text)) for text in ("0x1.62e430p-1", "0x1.62e400p-1", "0x1.7f7d1cp-20"))
LOG2_E, ROUND_MAGIC = np.float32(float.fromhex("0x1.715476p+0")), np.float32(float.fromhex("0x1.8p23"))
LOG1P_LEAST, LOG1P_MOST = np.float32(float.fromhex("-0x1.fffffep-1")), np.float32(float.fromhex("0x1.fffffep127"))
EXP_MOST, EXP_LEAST = np.float32(float.fromhex("0x1.62e42ep+6")), np.float32(-104)
BITS_TWO_THIRDS, BITS_EXPONENT = np.uint32(0x3F2AAAAB), np.uint32(0xFF800000)


def fma(a: Array | np.float32, b: Array | np.float32, c: Array | np.float32) -> Floats:
    """a · b + c of finite float32, rounded once."""
    product = np.multiply(a, b, dtype=np.float64)
    total = np.asarray(np.add(product, c, dtype=np.float64))
    out = total.astype(np.float32)
    doubtful = (total.view(np.int64) & BELOW) == MIDDLE
    tiny = np.abs(out) <= NORMAL_MIN
    if tiny.any():
        doubtful |= tiny & (total != 0)
    if doubtful.any():
        wide = np.broadcast_arrays(product, np.asarray(c, np.float64))
        out[doubtful] = rounded_once(total[doubtful], wide[0][doubtful], wide[1][doubtful])
    return out


def rounded_once(total: npt.NDArray[np.float64], a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> Floats:
    """The exact a + b as float32, total being their sum in float64: rounded to odd first."""
    other = total - a
    error = (a - (total - other)) + (b - other)
    bits = total.view(np.int64).copy()
    even = (error != 0) & (bits & 1 == 0)
    bits[even] += np.where((error > 0) == (total > 0), 1, -1)[even]
    out: Floats = bits.view(np.float64).astype(np.float32)
    return out


def polynomial(coefficients: list[np.float32], x: Floats) -> Floats:
    """Horner's way, highest power first."""
    value: Floats = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = fma(value, x, coefficient)
    return value


def log1p(x: Floats) -> Floats:
    """The server's log1p: within 1.55 ulp of the true one, -1 and below taken as the least float above -1."""
    x = np.clip(np.where(x == 0, np.float32(0), x), LOG1P_LEAST, LOG1P_MOST)
    offset = (ONE + x).view(np.uint32) - BITS_TWO_THIRDS
    exponent = offset & BITS_EXPONENT
    scaled = (x.view(np.uint32) - exponent).view(np.float32)
    four_scaled = (np.float32(4).view(np.uint32) - exponent).view(np.float32)
    f = scaled + fma(np.float32(0.25), four_scaled, np.float32(-1))
    e = (offset.view(np.int32) >> 23).astype(np.float32)
    return fma(e, LN2, fma(polynomial(LOG, f), f * f, f))


def exp(x: Floats) -> Floats:
    """The server's exp: within 0.9 ulp of the true one."""
    x = np.clip(x, EXP_LEAST, EXP_MOST)
    shifted = fma(x, LOG2_E, ROUND_MAGIC)
    n = shifted - ROUND_MAGIC
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    p = polynomial(EXP, r)
    exponent = (shifted.view(np.uint32) - ROUND_MAGIC.view(np.uint32)).view(np.int32)
    half = exponent >> 1
    return p * power_of_two(half) * power_of_two(exponent - half)


def power_of_two(exponent: npt.NDArray[np.int32]) -> Floats:
    return ((exponent + 127).astype(np.uint32) << 23).view(np.float32)
