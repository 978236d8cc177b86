"""Broken input from valid input: a few random changes, the same for the same seed."""

import random
import struct
import zlib

# What readers compare with, count down from or multiply.
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_TEXTS = (b"..", b"/", b"\0", b"-1", b"\n", b'"', b"'", b",", b":", b"%", b"\\", b"~", b"&a", b"*a", b"nan", b"1e999")
_TEXTS += (b"9" * 30, b"\xef\xbb\xbf", b"\xff", "é".encode(), "\u2028".encode(), b"[" * 40, b"{" * 40, b"null", b"<<")


def mutated(data: bytes, seeds: list[bytes], random: random.Random) -> bytes:
    """Return ``data`` with one to six changes; ``seeds`` give pieces."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        _change(found, seeds, random)
    return bytes(found)


def _change(data: bytearray, seeds: list[bytes], random: random.Random) -> None:
    at = random.randrange(len(data) + 1)
    if data and random.random() < 0.5:
        at = min(at, random.randrange(1, 200))  # headers stand in front, mostly
    length = random.choice((1, 1, 2, 4, 8, 30, 200))
    kind = random.randrange(9)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << random.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = random.randrange(256)
    elif kind == 2:
        number, form = random.choice(_NUMBERS), random.choice(("B", "<H", ">H", "<I", ">I"))
        packed = struct.pack(form, number & (2 ** (8 * struct.calcsize(form)) - 1))
        data[at : at + len(packed)] = packed
    elif kind == 3:
        del data[at : at + length]
    elif kind == 4:
        data[at:at] = data[at : at + length]
    elif kind == 5:
        other = random.choice(seeds)
        start = random.randrange(len(other) + 1)
        data[at : at + random.choice((0, length))] = other[start : start + length]
    elif kind == 6:
        data[at : at + random.choice((0, 1, 2))] = random.choice(_TEXTS)
    elif kind == 7:
        del data[at:]
    else:
        data[at:at] = bytes(length)


def with_png_sums(data: bytes) -> bytes:
    """Return a PNG file whose chunks have the sums they should; Pillow reads no others."""
    found, at = bytearray(data), 8
    while at + 12 <= len(found):
        (length,) = struct.unpack_from(">I", found, at)
        end = at + 8 + length
        if end + 4 > len(found):
            break
        struct.pack_into(">I", found, end, zlib.crc32(found[at + 4 : end]))
        at = end + 4
    return bytes(found)


def with_tar_sums(data: bytes) -> bytes:
    """Return a tar file whose headers have the sums they should."""
    found = bytearray(data)
    for at in range(0, len(found) - 511, 512):
        if found[at + 257 : at + 262] == b"ustar":
            total = sum(found[at : at + 512]) - sum(found[at + 148 : at + 156]) + 8 * 32
            found[at + 148 : at + 156] = f"{total:06o}\0 ".encode()
    return bytes(found)
