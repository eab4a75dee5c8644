"""Draws the shop's font, background and icon. Only for changing them: the results are committed.

Needs fonttools and brotli. Everything is drawn here, so that nothing carries a foreign licence.
"""
import struct
import zlib
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

SHOP = Path(__file__).resolve().parent.parent
STAR = [(500, 950), (610, 610), (960, 610), (680, 400), (790, 60), (500, 270), (210, 60), (320, 400), (40, 610), (390, 610)]
HOLLOW = [(500, 760), (390, 640), (390, 400), (610, 400), (610, 640)]
CART = [(40, 800), (200, 800), (240, 680), (960, 680), (840, 300), (320, 300), (180, 720), (40, 720)]
WHEELS = [[(340, 240), (460, 240), (460, 120), (340, 120)], [(680, 240), (800, 240), (800, 120), (680, 120)]]


def glyph(*outlines):
    pen = TTGlyphPen(None)
    for first, *rest in outlines:
        pen.moveTo(first)
        for point in rest:
            pen.lineTo(point)
        pen.closePath()
    return pen.glyph()


def font(path):
    glyphs = {".notdef": glyph(), "star": glyph(STAR), "hollow": glyph(STAR, HOLLOW[::-1]), "cart": glyph(CART, *WHEELS)}
    build = FontBuilder(1000, isTTF=True)
    build.setupGlyphOrder(list(glyphs))
    build.setupCharacterMap({ord("S"): "star", ord("O"): "hollow", ord("C"): "cart"})
    build.setupGlyf(glyphs)
    build.setupHorizontalMetrics({name: (1000, 0) for name in glyphs})
    build.setupHorizontalHeader(ascent=1000, descent=-100)
    build.setupNameTable({"familyName": "Shop Signs", "styleName": "Regular"})
    build.setupOS2(sTypoAscender=1000)
    build.setupPost()
    build.font["head"].created = build.font["head"].modified = 0
    build.font.recalcTimestamp = False
    build.font.flavor = "woff2"
    build.save(path)


def png(width, height, pixel):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"".join(bytes(pixel(x, y)) for x in range(width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def ico(image, size):
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", size, size, 0, 0, 1, 32, len(image), 22) + image


font(SHOP / "src/art/signs.woff2")
(SHOP / "src/art/paper.png").write_bytes(png(96, 96, lambda x, y: (0, 0, 0, (x * x * 7 + y * y * 13 + x * y * 29) % 97 // 12)))
(SHOP / "public/favicon.ico").write_bytes(ico(png(32, 32, lambda x, y: (180, 68, 31, 255 if (x - 16) ** 2 + (y - 16) ** 2 < 225 else 0)), 32))
