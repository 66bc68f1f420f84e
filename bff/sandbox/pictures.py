"""The product pictures: each is drawn from the product id, with a background and the product in front."""

import zlib
from typing import Final

from bff.sandbox.drawings import SHAPES, Palette

_DRAWINGS: Final[dict[str, tuple[str, Palette]]] = {
    "morning-ledge": ("bag", Palette("#ffd9b0", "#f08a5d", "#fff1e0", "#7a3b2e", "#43201b", "#b5532f")),
    "harbour-fog": ("bag", Palette("#dfe9ee", "#8fb0bf", "#f4f8f9", "#3d6478", "#223c4b", "#c97b4a")),
    "paper-lantern": ("bag", Palette("#ffe6ea", "#f2a7b5", "#fff6ee", "#d8556b", "#8e2f48", "#e9a23b")),
    "quiet-hours": ("bag", Palette("#d9d4f0", "#7d76b8", "#f3f0ff", "#4b4590", "#2a2659", "#8f6a4e")),
    "first-frost": ("tin", Palette("#eef6fb", "#a9cfe3", "#fbfeff", "#7fb3cf", "#467a99", "#9db48a")),
    "copper-gate": ("tin", Palette("#ffe3c7", "#d98450", "#fff3e4", "#b4552b", "#6e2f18", "#7a3b1e")),
    "orchard-rain": ("tin", Palette("#e9f5d8", "#a5cf8a", "#fbfff2", "#5b9a57", "#2f6238", "#8dbf4b")),
    "night-train": ("tin", Palette("#41405f", "#1f2140", "#f7e8d0", "#93344a", "#4f1a2e", "#c7603f")),
    "slow-pour": ("dripper", Palette("#f6eee2", "#d9c2a0", "#ffffff", "#efe6da", "#8c7456", "#5d3a26")),
    "heron-kettle": ("kettle", Palette("#d8efe9", "#79bdb0", "#f0fffb", "#2f7f78", "#174a49", "#d79b4a")),
    "tidewater-press": ("press", Palette("#dbe8fb", "#86a9de", "#ffffff", "#45659f", "#24365f", "#5a3524")),
    "millstone": ("grinder", Palette("#efe7dc", "#c4ad90", "#fffaf2", "#9aa3a8", "#4b5459", "#7b4a2b")),
    "cloudbank": ("mug", Palette("#dcecf7", "#9cc3dd", "#ffffff", "#5f93b5", "#345d7b", "#6b3f28")),
    "fernhill": ("teapot", Palette("#e3f1e4", "#8cbf98", "#eef9ec", "#3c7d5a", "#1f4f39", "#e0b04f")),
    "salt-oat": ("biscuits", Palette("#fdf0d2", "#efc377", "#fff9ea", "#dfa862", "#a5682d", "#2f7f93")),
    "linden-honey": ("jar", Palette("#fff4c9", "#f5c94c", "#fffbe8", "#e8a31c", "#9a5f0b", "#5c8a3a")),
}
_DEFAULT: Final = ("mug", Palette("#f0f0ee", "#c9cec8", "#ffffff", "#8f9a93", "#56605a", "#6b4a35"))


def picture(product_id: str) -> str:
    """Return the picture of a product as SVG; an unknown id gets a default picture, and is never part of the text."""
    name, palette = _DRAWINGS.get(product_id, _DEFAULT)
    seed = zlib.crc32(product_id.encode())
    prefix = f"p{seed:08x}"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" width="400" height="400" '
        f'role="img" aria-hidden="true">{_gradients(palette, prefix)}{_scene(palette, prefix, seed)}'
        f"{SHAPES[name](palette, f'{prefix}m')}</svg>"
    )


def _gradients(p: Palette, prefix: str) -> str:
    return f"""<defs>
<linearGradient id="{prefix}b" x1="0" y1="0" x2=".4" y2="1"><stop stop-color="{p.sky}"/>
<stop offset="1" stop-color="{p.ground}"/></linearGradient>
<linearGradient id="{prefix}m" x1="0" y1="0" x2="1" y2=".35"><stop stop-color="{p.main}"/>
<stop offset=".35" stop-color="{p.main}"/><stop offset="1" stop-color="{p.dark}"/></linearGradient>
<radialGradient id="{prefix}s"><stop stop-color="#fff" stop-opacity=".75"/>
<stop offset="1" stop-color="#fff" stop-opacity="0"/></radialGradient>
<radialGradient id="{prefix}d"><stop stop-color="{p.dark}" stop-opacity=".55"/>
<stop offset="1" stop-color="{p.dark}" stop-opacity="0"/></radialGradient></defs>"""


def _scene(p: Palette, prefix: str, seed: int) -> str:
    """Return the background: light, hills and a table, placed by the checksum of the product id."""
    x, y, r = 90 + seed % 220, 80 + (seed >> 8) % 60, 120 + (seed >> 16) % 50
    hill = 226 + (seed >> 4) % 40
    dots = "".join(
        f'<circle cx="{(seed >> shift) % 380 + 10}" cy="{(seed >> (shift + 5)) % 200 + 16}" '
        f'r="{2 + shift % 3}"/>'
        for shift in range(0, 20, 3)
    )
    return f"""<rect width="400" height="400" fill="url(#{prefix}b)"/>
<circle cx="{x}" cy="{y}" r="{r}" fill="url(#{prefix}s)"/><g fill="#fff" opacity=".4">{dots}</g>
<path d="M0 {hill} Q100 {hill - 60} 210 {hill} T400 {hill - 20} V400 H0Z" fill="{p.ground}" opacity=".55"/>
<path d="M0 312 Q200 296 400 312 V400 H0Z" fill="{p.light}" opacity=".75"/>
<ellipse cx="204" cy="320" rx="140" ry="22" fill="url(#{prefix}d)"/>"""
