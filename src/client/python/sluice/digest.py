"""XXH3-128 (seed 0) in numpy: the digest by which the server names a scene base.

https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md, the way of long inputs: a scene base is never below 241 bytes.
Within a block of 16 stripes of 64 bytes the accumulators are sums, so all blocks are summed at once; between blocks they are scrambled
one after the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

LEAST_BYTES = 241
STRIPE_BYTES, STRIPES, LANES = 64, 16, 8
BLOCK_BYTES = STRIPE_BYTES * STRIPES
CHUNK_BLOCKS = 4096
MASK = (1 << 64) - 1
PRIME32_1, PRIME32_2, PRIME32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
PRIME64_1, PRIME64_2, PRIME64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
PRIME64_4, PRIME64_5, PRIME_AVALANCHE = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5, 0x165667919E3779F9
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)

Lanes = npt.NDArray[np.uint64]


def keys_at(offset: int) -> Lanes:
    return np.frombuffer(SECRET, "<u8", LANES, offset)


def summed(stripes: Lanes, keys: Lanes) -> Lanes:
    """What stripes [..., stripes, lanes] add to the accumulators [..., lanes]: each lane its product, and its neighbour's words."""
    mixed = stripes ^ keys
    products = (mixed & np.uint64(0xFFFFFFFF)) * (mixed >> np.uint64(32))
    swapped: Any = stripes.sum(axis=-2, dtype=np.uint64)[..., [1, 0, 3, 2, 5, 4, 7, 6]]
    return np.asarray(products.sum(axis=-2, dtype=np.uint64) + swapped)


def merged(lanes: Lanes, offset: int, start: int) -> int:
    keyed = [int(lane) for lane in lanes ^ keys_at(offset)]
    total = start
    for even, odd in zip(keyed[::2], keyed[1::2], strict=True):
        product = even * odd
        total += (product & MASK) ^ (product >> 64)
    total &= MASK
    total = (total ^ total >> 37) * PRIME_AVALANCHE & MASK
    return total ^ total >> 32


def digest_of(data: bytes) -> str:
    """32 hex digits, as replies name a base."""
    if len(data) < LEAST_BYTES:
        raise ValueError(f"{len(data)} bytes are no scene base")
    lanes = np.array(
        [PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1],
        np.uint64,
    )
    keys = np.stack([keys_at(8 * stripe) for stripe in range(STRIPES)])
    scramble_keys, prime, shift = keys_at(len(SECRET) - STRIPE_BYTES), np.uint64(PRIME32_1), np.uint64(47)
    blocks = (len(data) - 1) // BLOCK_BYTES
    for first in range(0, blocks, CHUNK_BLOCKS):
        count = min(CHUNK_BLOCKS, blocks - first)
        words = np.frombuffer(data, "<u8", count * BLOCK_BYTES // 8, first * BLOCK_BYTES)
        for added in summed(words.reshape(count, STRIPES, LANES), keys):
            lanes = lanes + added
            lanes = ((lanes ^ lanes >> shift) ^ scramble_keys) * prime
    rest = (len(data) - 1 - blocks * BLOCK_BYTES) // STRIPE_BYTES
    words = np.frombuffer(data, "<u8", rest * LANES, blocks * BLOCK_BYTES).reshape(rest, LANES)
    lanes = lanes + summed(words, keys[:rest])
    last = np.frombuffer(data, "<u8", LANES, len(data) - STRIPE_BYTES).reshape(1, LANES)
    lanes = lanes + summed(last, keys_at(len(SECRET) - STRIPE_BYTES - 7))
    low = merged(lanes, 11, len(data) * PRIME64_1 & MASK)
    high = merged(lanes, len(SECRET) - STRIPE_BYTES - 11, ~(len(data) * PRIME64_2) & MASK)
    return f"{high:016x}{low:016x}"
