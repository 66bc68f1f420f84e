"""The shapes of the product pictures: SVG in a square of 400 by 400, standing on the line y = 318."""

from collections.abc import Callable
from typing import Final, NamedTuple


class Palette(NamedTuple):
    """The colours of a picture: two for the background, three for the product, and an accent."""

    sky: str
    ground: str
    light: str
    main: str
    dark: str
    accent: str


Shape = Callable[[Palette, str], str]


def bag(p: Palette, fill: str) -> str:
    """A gusseted coffee bag with a label and a bean."""
    return f"""
<path d="M132 118 Q200 108 268 118 L280 306 Q280 318 268 318 L132 318 Q120 318 120 306Z" fill="url(#{fill})"/>
<path d="M132 118 L152 318 L132 318 Q120 318 120 306Z" fill="{p.dark}" opacity=".28"/>
<path d="M268 118 L252 318 L268 318 Q280 318 280 306Z" fill="{p.light}" opacity=".22"/>
<path d="M128 92 Q200 84 272 92 L268 120 Q200 110 132 120Z" fill="{p.dark}"/>
<path d="M130 104 Q200 96 270 104" stroke="{p.light}" stroke-width="2" fill="none" opacity=".55"/>
<circle cx="200" cy="142" r="5" fill="{p.dark}" opacity=".6"/>
<rect x="154" y="168" width="92" height="112" rx="46" fill="{p.light}"/>
<g transform="rotate(28 200 222)"><ellipse cx="200" cy="222" rx="23" ry="33" fill="{p.accent}"/>
<path d="M200 190 C188 208 212 232 200 254" stroke="{p.light}" stroke-width="5" fill="none"
 stroke-linecap="round"/></g>
<path d="M178 268 h44" stroke="{p.dark}" stroke-width="3" stroke-linecap="round" opacity=".5"/>"""


def tin(p: Palette, fill: str) -> str:
    """A round tea caddy with a leaf on its band."""
    return f"""
<path d="M128 140 V296 A72 22 0 0 0 272 296 V140Z" fill="url(#{fill})"/>
<path d="M128 182 A72 20 0 0 0 272 182 V268 A72 20 0 0 1 128 268Z" fill="{p.light}"/>
<path d="M122 112 V142 A78 22 0 0 0 278 142 V112Z" fill="{p.dark}"/>
<ellipse cx="200" cy="112" rx="78" ry="22" fill="{p.main}"/>
<ellipse cx="200" cy="108" rx="60" ry="15" fill="{p.light}" opacity=".35"/>
<ellipse cx="200" cy="98" rx="16" ry="8" fill="{p.dark}"/>
<path d="M200 268 C160 250 164 212 206 202 C232 226 228 256 200 268Z" fill="{p.accent}"/>
<path d="M200 270 C198 248 202 228 207 210" stroke="{p.light}" stroke-width="3" fill="none"/>
<path d="M201 250 l-15 -9 M202 238 l14 -9 M203 228 l-12 -7" stroke="{p.light}" stroke-width="2"/>
<rect x="140" y="150" width="10" height="150" rx="5" fill="#fff" opacity=".22"/>"""


def dripper(p: Palette, fill: str) -> str:
    """A ribbed cone on a glass with coffee rising in it."""
    return f"""
<path d="M150 232 L142 306 Q142 318 154 318 H246 Q258 318 258 306 L250 232Z" fill="{p.light}" opacity=".55"/>
<path d="M146 270 L142 306 Q142 318 154 318 H246 Q258 318 258 306 L254 270 Q200 282 146 270Z"
 fill="{p.accent}"/>
<rect x="132" y="222" width="136" height="14" rx="7" fill="{p.dark}"/>
<path d="M112 116 H288 L236 214 Q232 222 222 222 H178 Q168 222 164 214Z" fill="url(#{fill})"/>
<g stroke="{p.dark}" stroke-width="4" opacity=".22" fill="none" stroke-linecap="round">
<path d="M146 128 L180 210"/><path d="M173 128 L190 212"/><path d="M200 128 V212"/>
<path d="M227 128 L210 212"/><path d="M254 128 L220 210"/></g>
<ellipse cx="200" cy="116" rx="88" ry="17" fill="{p.main}"/>
<ellipse cx="200" cy="117" rx="74" ry="11" fill="{p.accent}"/>
<path d="M272 140 q34 6 22 36 q-10 20 -40 18" stroke="{p.main}" stroke-width="11" fill="none"/>
<path d="M200 236 v30" stroke="{p.accent}" stroke-width="4" stroke-linecap="round"/>"""


def kettle(p: Palette, fill: str) -> str:
    """A gooseneck kettle."""
    return f"""
<path d="M152 252 C96 246 112 168 70 150" stroke="{p.main}" stroke-width="13"
 fill="none" stroke-linecap="round"/>
<path d="M150 244 C106 236 116 172 76 150" stroke="{p.light}" stroke-width="3" fill="none" opacity=".6"/>
<path d="M252 168 C330 138 346 250 270 282" stroke="{p.dark}" stroke-width="15" fill="none"
 stroke-linecap="round"/>
<path d="M156 164 Q202 152 248 164 L282 300 Q284 318 266 318 H138 Q120 318 122 300Z" fill="url(#{fill})"/>
<path d="M168 172 L146 304" stroke="#fff" stroke-width="9" stroke-linecap="round" opacity=".3"/>
<ellipse cx="202" cy="163" rx="47" ry="13" fill="{p.dark}"/>
<ellipse cx="202" cy="158" rx="42" ry="11" fill="{p.main}"/>
<rect x="194" y="132" width="16" height="20" rx="6" fill="{p.dark}"/>
<circle cx="202" cy="130" r="12" fill="{p.accent}"/>
<path d="M124 296 Q202 308 280 296" stroke="{p.dark}" stroke-width="3" opacity=".35" fill="none"/>"""


def press(p: Palette, fill: str) -> str:
    """A French press, half full."""
    return f"""
<path d="M262 168 h28 q22 0 22 24 v62 q0 24 -22 24 h-28" stroke="{p.dark}" stroke-width="14" fill="none"/>
<rect x="138" y="140" width="124" height="172" rx="14" fill="{p.light}" opacity=".5"/>
<path d="M138 208 Q200 218 262 208 V300 Q262 312 250 312 H150 Q138 312 138 300Z" fill="{p.accent}"/>
<rect x="142" y="196" width="116" height="10" rx="5" fill="{p.dark}"/>
<path d="M200 74 V198" stroke="{p.dark}" stroke-width="6"/>
<circle cx="200" cy="70" r="14" fill="url(#{fill})"/>
<path d="M132 142 Q134 114 200 112 Q266 114 268 142Z" fill="url(#{fill})"/>
<path d="M138 150 l-26 -12 8 24 18 8Z" fill="{p.main}"/>
<rect x="132" y="140" width="136" height="14" rx="7" fill="{p.dark}"/>
<rect x="130" y="268" width="140" height="14" rx="7" fill="{p.main}"/>
<path d="M136 306 h128 v12 h-128Z" fill="{p.dark}"/>
<rect x="150" y="162" width="9" height="136" rx="4" fill="#fff" opacity=".35"/>"""


def grinder(p: Palette, fill: str) -> str:
    """A hand grinder with a crank."""
    return f"""
<path d="M200 108 V92 H292" stroke="{p.dark}" stroke-width="10" fill="none" stroke-linejoin="round"
 stroke-linecap="round"/>
<path d="M284 78 h16 q8 0 8 10 l-4 42 q-2 10 -12 10 t-12 -10 l-4 -42 q0 -10 8 -10Z" fill="{p.accent}"/>
<path d="M150 118 H250 L244 138 H156Z" fill="{p.dark}"/>
<path d="M156 138 H244 L248 222 H152Z" fill="url(#{fill})"/>
<rect x="146" y="222" width="108" height="18" rx="6" fill="{p.dark}"/>
<path d="M154 240 H246 L242 304 Q241 318 228 318 H172 Q159 318 158 304Z" fill="{p.accent}"/>
<g stroke="{p.dark}" stroke-width="3" opacity=".3">
<path d="M172 144 V218"/><path d="M191 144 V218"/><path d="M210 144 V218"/><path d="M229 144 V218"/></g>
<path d="M168 248 l4 60" stroke="#fff" stroke-width="7" stroke-linecap="round" opacity=".3"/>
<circle cx="200" cy="112" r="12" fill="{p.main}"/>"""


def mug(p: Palette, fill: str) -> str:
    """A glazed mug with steam."""
    return f"""
<path d="M262 188 q62 -8 58 46 q-4 52 -72 46" stroke="{p.main}" stroke-width="17" fill="none"/>
<path d="M122 164 H270 V268 Q270 318 220 318 H172 Q122 318 122 268Z" fill="url(#{fill})"/>
<path d="M122 164 H270 V206 Q252 232 234 212 Q214 192 196 216 Q176 244 158 216 Q142 194 122 212Z"
 fill="{p.light}"/>
<ellipse cx="196" cy="164" rx="74" ry="18" fill="{p.dark}"/>
<ellipse cx="196" cy="167" rx="64" ry="13" fill="{p.accent}"/>
<path d="M164 168 q14 -7 30 0 q18 7 34 -1" stroke="{p.light}" stroke-width="4" fill="none" opacity=".7"/>
<g stroke="#fff" stroke-width="8" fill="none" stroke-linecap="round" opacity=".55">
<path d="M170 136 q-16 -20 0 -40 t0 -36"/><path d="M204 130 q-16 -22 0 -42 t0 -34"/>
<path d="M238 138 q-16 -20 0 -38 t0 -30"/></g>
<rect x="138" y="232" width="10" height="56" rx="5" fill="#fff" opacity=".3"/>"""


def teapot(p: Palette, fill: str) -> str:
    """A round teapot with a fern."""
    return f"""
<path d="M128 246 C92 242 94 186 56 172 L76 160 C112 172 112 206 140 208Z" fill="{p.main}"/>
<path d="M272 190 C346 166 350 276 268 276" stroke="{p.main}" stroke-width="16" fill="none"/>
<path d="M118 240 C118 176 160 154 202 154 C244 154 286 176 286 240 C286 288 250 318 202 318
 C154 318 118 288 118 240Z" fill="url(#{fill})"/>
<path d="M154 166 Q202 142 250 166 Q202 182 154 166Z" fill="{p.dark}"/>
<path d="M160 160 Q202 116 244 160 Q202 172 160 160Z" fill="{p.main}"/>
<circle cx="202" cy="128" r="13" fill="{p.accent}"/>
<g stroke="{p.light}" stroke-width="5" fill="none" stroke-linecap="round">
<path d="M202 300 C196 264 202 234 216 198"/>
<path d="M200 282 q-22 -2 -32 -18"/><path d="M200 262 q-20 -4 -26 -20"/><path d="M203 242 q-16 -6 -18 -20"/>
<path d="M200 282 q24 -4 30 -22"/><path d="M202 260 q22 -4 28 -20"/><path d="M207 238 q18 -2 24 -18"/></g>
<path d="M140 216 q8 -28 32 -40" stroke="#fff" stroke-width="9" fill="none" stroke-linecap="round"
 opacity=".35"/>"""


def biscuits(p: Palette, fill: str) -> str:
    """A stack of biscuits before a tin."""
    stack = "".join(
        f'<rect x="{132 + shift}" y="{290 - 26 * row}" width="136" height="28" rx="14" fill="url(#{fill})"/>'
        f'<path d="M{150 + shift} {298 - 26 * row} h96" stroke="{p.light}" stroke-width="3" opacity=".45" '
        f'stroke-dasharray="3 13" stroke-linecap="round"/>'
        for row, shift in enumerate((0, 8, -6, 4))
    )
    return f"""
<path d="M96 176 h208 v118 q0 24 -24 24 H120 q-24 0 -24 -24Z" fill="{p.accent}"/>
<path d="M96 176 h208 v26 h-208Z" opacity=".18"/>
<rect x="86" y="156" width="228" height="30" rx="12" fill="{p.accent}"/>
<rect x="86" y="156" width="228" height="12" rx="6" fill="#fff" opacity=".2"/>
<path d="M96 214 h208" stroke="{p.light}" stroke-width="3" opacity=".3"/>
{stack}
<g transform="rotate(-14 200 150)"><circle cx="200" cy="152" r="60" fill="url(#{fill})"/>
<circle cx="200" cy="152" r="47" fill="none" stroke="{p.dark}" stroke-width="3" opacity=".25"
 stroke-dasharray="2 11" stroke-linecap="round"/>
<g fill="{p.light}"><rect x="178" y="132" width="9" height="9" rx="2"/>
<rect x="212" y="138" width="8" height="8" rx="2"/>
<rect x="194" y="164" width="9" height="9" rx="2"/><rect x="224" y="166" width="7" height="7" rx="2"/>
<rect x="168" y="164" width="7" height="7" rx="2"/></g></g>"""


def jar(p: Palette, fill: str) -> str:
    """A honey jar with a dipper and a hexagon."""
    return f"""
<path d="M262 70 L214 176" stroke="{p.dark}" stroke-width="9" stroke-linecap="round"/>
<path d="M138 148 H262 Q284 160 284 186 V286 Q284 318 252 318 H148 Q116 318 116 286 V186 Q116 160 138 148Z"
 fill="{p.light}" opacity=".6"/>
<path d="M122 192 Q162 180 200 192 T278 192 V284 Q278 312 250 312 H150 Q122 312 122 284Z"
 fill="url(#{fill})"/>
<path d="M132 116 H268 V140 Q268 150 258 150 H142 Q132 150 132 140Z" fill="{p.accent}"/>
<path d="M132 128 H268" stroke="{p.light}" stroke-width="3" opacity=".4"/>
<path d="M200 206 L240 229 V275 L200 298 L160 275 V229Z" fill="{p.light}"/>
<path d="M200 222 L226 237 V267 L200 282 L174 267 V237Z" fill="none" stroke="{p.dark}" stroke-width="4"/>
<circle cx="200" cy="252" r="9" fill="{p.accent}"/>
<rect x="132" y="176" width="10" height="112" rx="5" fill="#fff" opacity=".35"/>"""


SHAPES: Final[dict[str, Shape]] = {
    shape.__name__: shape for shape in (bag, tin, dripper, kettle, press, grinder, mug, teapot, biscuits, jar)
}
