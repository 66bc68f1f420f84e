"""Pictures as SVG: what all pictures of the documents have in common."""

from collections.abc import Sequence
from html import escape
from typing import Final

_STYLE: Final = (
    "text{fill:#1f2328}.ground{fill:#ffffff}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117}}"
)


def picture(width: int, height: int, title: str, parts: Sequence[str], style: str = "") -> str:
    """Return a picture on a ground of its own, which can be read on a light page and on a dark one."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"',
            f'viewBox="0 0 {width} {height}" role="img" font-family="sans-serif" font-size="13">',
            f"<title>{escape(title)}</title><style>{_STYLE}{style}</style>",
            '<rect class="ground" width="100%" height="100%"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def text(x: float, y: float, words: str, *, kind: str = "", anchor: str = "") -> str:
    """Return a line of text.

    Args:
        x: where it begins, or what `anchor` says.
        y: its base line.
        words: what it says.
        kind: its class, for the style.
        anchor: `middle` or `end`.
    """
    more = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:g}" y="{y:g}"{more}>{escape(words)}</text>'
