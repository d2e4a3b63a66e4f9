"""Small pictures, drawn and encoded here: the same octets every time, so that sizes in figures repeat.

Pictures are of 256 colours at most. PNG as of RFC 2083; GIF as of the GIF89a specification, LZW with codes of growing width.
"""

import struct
import zlib
from collections.abc import Callable, Sequence
from math import sin

Colour = tuple[int, int, int]


class Picture:
    """A picture of indexed colours; (0, 0) is the upper left corner."""

    def __init__(self, width: int, height: int, palette: Sequence[Colour]) -> None:
        self.width = width
        self.height = height
        self.palette = list(palette)
        self.rows = [bytearray(width) for _ in range(height)]

    def rectangle(self, left: int, top: int, width: int, height: int, colour: int) -> None:
        """Fill a rectangle; what lies outside of the picture is cut off."""
        start, end = max(0, left), min(self.width, left + width)
        if end > start:
            for row in self.rows[max(0, top) : max(0, min(self.height, top + height))]:
                row[start:end] = bytes((colour,)) * (end - start)

    def disc(self, x: int, y: int, radius: float, colour: int) -> None:
        """Fill a circle."""
        for row in range(max(0, int(y - radius)), min(self.height, int(y + radius) + 1)):
            half = int(max(0.0, radius * radius - (row - y) ** 2) ** 0.5)
            self.rectangle(x - half, row, 2 * half + 1, 1, colour)

    def below(self, height: Callable[[int], float], colour: int) -> None:
        """Fill everything below a curve."""
        for x in range(self.width):
            for y in range(max(0, int(height(x))), self.height):
                self.rows[y][x] = colour

    def grain(self, seed: int, first: int, shades: int) -> None:
        """Move each pixel of the colours from `first` (a ramp of `shades`) a little along its ramp."""
        state = seed * 2654435761 & 0xFFFFFFFF
        last = first + shades - 1
        for row in self.rows:
            for x, colour in enumerate(row):
                if first <= colour <= last:
                    state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
                    row[x] = min(last, max(first, colour + (state >> 30) - 1))

    def png(self) -> bytes:
        """The picture as PNG."""
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 3, 0, 0, 0)
        palette = bytes(value for colour in self.palette for value in colour)
        pixels = zlib.compress(b"".join(b"\0" + row for row in self.rows), 9)
        chunks = ((b"IHDR", head), (b"PLTE", palette), (b"IDAT", pixels), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
        )

    def gif(self) -> bytes:
        """The picture as GIF."""
        bits = max(2, (len(self.palette) - 1).bit_length())
        palette = bytes(value for colour in self.palette for value in colour).ljust(3 << bits, b"\0")
        head = b"GIF89a" + struct.pack("<HHBBB", self.width, self.height, 0xF0 | (bits - 1), 0, 0) + palette
        data = _lzw(b"".join(bytes(row) for row in self.rows), bits)
        blocks = b"".join(bytes((len(data[at : at + 255]),)) + data[at : at + 255] for at in range(0, len(data), 255))
        image = struct.pack("<BHHHHB", 0x2C, 0, 0, self.width, self.height, 0)
        return head + image + bytes((bits,)) + blocks + b"\0\x3b"


def _lzw(pixels: bytes, bits: int) -> bytes:
    clear = 1 << bits
    fresh = {bytes((value,)): value for value in range(clear)}
    table = dict(fresh)
    width, following = bits + 1, clear + 2
    packed, filled, out = clear, width, bytearray()
    known = b""
    for at in range(len(pixels)):
        longer = known + pixels[at : at + 1]
        if longer in table:
            known = longer
            continue
        packed |= table[known] << filled
        filled += width
        if following < 4096:
            table[longer] = following
            following += 1
            if following > 1 << width and width < 12:
                width += 1
        else:
            packed |= clear << filled
            filled += width
            table = dict(fresh)
            width, following = bits + 1, clear + 2
        known = longer[-1:]
        while filled >= 8:
            out.append(packed & 255)
            packed >>= 8
            filled -= 8
    if known:
        packed |= table[known] << filled
        filled += width
        following += 1
        if following > 1 << width and width < 12:
            width += 1
    packed |= (clear + 1) << filled
    filled += width
    out += packed.to_bytes((filled + 7) // 8, "little")
    return bytes(out)


def ramp(first: Colour, last: Colour, shades: int) -> list[Colour]:
    """Colours from one to another."""
    steps = max(1, shades - 1)
    return [
        (
            first[0] + (last[0] - first[0]) * step // steps,
            first[1] + (last[1] - first[1]) * step // steps,
            first[2] + (last[2] - first[2]) * step // steps,
        )
        for step in range(shades)
    ]


SKY = 16
"""Shades of the sky; the other colours follow."""
_SKIES: Sequence[tuple[Colour, Colour]] = (
    ((70, 130, 200), (200, 225, 245)),
    ((25, 30, 80), (230, 120, 80)),
    ((120, 150, 170), (225, 230, 232)),
    ((15, 20, 50), (60, 80, 130)),
)


def scene(number: int, width: int = 160, height: int = 120) -> Picture:
    """A landscape with sun, hills and houses; every number has one of its own."""
    palette = [
        *ramp(*_SKIES[number % len(_SKIES)], SKY),
        (250, 235, 150),  # 16: sun
        (60, 90 + 9 * (number % 10), 60),  # 17: far hills
        (40, 120, 45 + 7 * (number % 7)),  # 18: near hills
        (150, 60 + 8 * (number % 9), 45),  # 19: brick
        (90, 40, 35),  # 20: roof
        (245, 240, 190),  # 21: window
        (215, 205, 185),  # 22: stone
    ]
    picture = Picture(width, height, palette)
    for y in range(height):
        picture.rectangle(0, y, width, 1, min(SKY - 1, y * SKY // (height * 2 // 3)))
    picture.disc((number * 47 + 20) % width, 14 + number * 7 % 22, 7 + number % 5, 16)
    phase = number * 1.7
    picture.below(lambda x: height * 0.55 + 9 * sin(x / 21 + phase) + 5 * sin(x / 8 + 2 * phase), 17)
    picture.below(lambda x: height * 0.72 + 6 * sin(x / 33 + 3 * phase), 18)
    for house in range(2 + number % 4):
        left = (number * 29 + house * 43) % (width - 24)
        storeys = 1 + (number + house) % 4
        top = height - 18 - 11 * storeys + house % 3 * 3
        picture.rectangle(left, top, 24, 11 * storeys, 19 if (house + number) % 2 else 22)
        picture.rectangle(left - 2, top - 4, 28, 4, 20)
        for storey in range(storeys):
            for column in range(3):
                picture.rectangle(left + 3 + 7 * column, top + 3 + 11 * storey, 4, 5, 21)
    picture.grain(number + 1, 0, SKY)
    return picture


def kiwi(size: int = 120) -> Picture:
    """A kiwi, cut in two."""
    flesh = ramp((205, 225, 140), (95, 155, 40), SKY)
    picture = Picture(size, size, [*flesh, (250, 250, 245), (115, 80, 45), (235, 235, 200), (30, 28, 25)])
    middle = size // 2
    picture.rectangle(0, 0, size, size, 16)
    picture.disc(middle, middle, size * 0.47, 17)
    for shade in range(SKY - 1, -1, -1):
        picture.disc(middle, middle, size * (0.16 + 0.28 * shade / (SKY - 1)), shade)
    picture.grain(5, 0, SKY)
    picture.disc(middle, middle, size * 0.12, 18)
    for seed in range(26):
        angle = seed * 6.283185307 / 26
        distance = size * (0.2 + 0.03 * (seed % 2))
        picture.disc(round(middle + distance * sin(angle)), round(middle + distance * sin(angle + 1.5707963)), 2, 19)
    return picture
