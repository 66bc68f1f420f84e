"""The products and categories of the sandbox, a small tea and coffee shop."""

from dataclasses import dataclass
from typing import Final

Localized = dict[str, str]

DOZEN: Final = 12
DOZEN_FACTOR: Final = 0.9
TAX_RATE: Final = 19.0
CREATED: Final = "2026-01-05T08:00:00.000Z"


@dataclass(frozen=True, slots=True)
class Category:
    id: str
    name: Localized
    description: Localized
    parent: str | None = "shop"


@dataclass(frozen=True, slots=True)
class Product:
    id: str
    code: str
    category: str
    name: Localized
    description: Localized
    eur: float
    usd: float
    stock: int

    def price(self, currency: str, quantity: float = 1) -> float:
        """Return the gross price of one piece; any currency other than USD gets the price in EUR.

        A dozen and more is a tier of its own.
        """
        one = self.usd if currency == "USD" else self.eur
        return round(one * DOZEN_FACTOR, 2) if quantity >= DOZEN else one


_CATEGORIES: Final = (
    Category(
        "shop",
        {"en": "Shop", "de": "Laden"},
        {"en": "Everything that we have.", "de": "Alles, was wir haben."},
        None,
    ),
    Category(
        "coffee",
        {"en": "Coffee", "de": "Kaffee"},
        {"en": "Small roasts, rested a week.", "de": "Kleine Röstungen, eine Woche gereift."},
    ),
    Category(
        "tea",
        {"en": "Tea", "de": "Tee"},
        {"en": "Whole leaves in airtight tins.", "de": "Ganze Blätter in dichten Dosen."},
    ),
    Category(
        "brewing",
        {"en": "Brewing", "de": "Zubereitung"},
        {"en": "Tools that stay on the counter.", "de": "Geräte, die stehen bleiben dürfen."},
    ),
    Category(
        "table",
        {"en": "At the table", "de": "Am Tisch"},
        {"en": "Cups, and what goes with them.", "de": "Tassen und was dazu passt."},
    ),
)

# id, category, English and German name, English and German description, EUR, USD, stock
_ROWS: Final = (
    (
        "morning-ledge", "coffee", "Morning Ledge Espresso", "Morgenkante Espresso",
        "Dark chocolate and roasted hazelnut. Pulls a thick, patient shot.",
        "Dunkle Schokolade und geröstete Haselnuss. Für einen dichten, ruhigen Espresso.",
        13.90, 14.90, 120,
    ),
    (
        "harbour-fog", "coffee", "Harbour Fog Filter Roast", "Hafennebel Filterröstung",
        "Soft caramel, a little orange peel. Made for long jugs and slow Sundays.",
        "Weiches Karamell, etwas Orangenschale. Für große Kannen und lange Sonntage.",
        12.50, 13.50, 84,
    ),
    (
        "paper-lantern", "coffee", "Paper Lantern Ethiopia", "Papierlaterne Äthiopien",
        "Washed heirloom beans: jasmine first, then apricot, then a clean finish.",
        "Gewaschene Landsorten: erst Jasmin, dann Aprikose, dann ein klarer Abgang.",
        16.80, 17.90, 40,
    ),
    (
        "quiet-hours", "coffee", "Quiet Hours Decaf", "Stille Stunden entkoffeiniert",
        "Water-processed, malty and round. Nobody at the table will notice.",
        "Mit Wasser entkoffeiniert, malzig und rund. Am Tisch merkt es niemand.",
        13.20, 14.20, 65,
    ),
    (
        "first-frost", "tea", "First Frost White Tea", "Erster Frost Weißer Tee",
        "Silver buds picked before sunrise. Pear, hay and a cool sweetness.",
        "Silberne Knospen, vor Sonnenaufgang gepflückt. Birne, Heu und kühle Süße.",
        18.50, 19.90, 30,
    ),
    (
        "copper-gate", "tea", "Copper Gate Assam", "Kupfertor Assam",
        "Brisk and red-gold. Stands up to milk and to Monday.",
        "Kräftig und rotgolden. Hält Milch aus und Montage auch.",
        9.80, 10.50, 150,
    ),
    (
        "orchard-rain", "tea", "Orchard Rain Green Tea", "Obstgartenregen Grüntee",
        "Steamed leaves with quince and lemon verbena.",
        "Gedämpfte Blätter mit Quitte und Zitronenverbene.",
        11.40, 12.40, 90,
    ),
    (
        "night-train", "tea", "Night Train Rooibos", "Nachtzug Rooibos",
        "Vanilla, cardamom and cocoa husk. No caffeine, last stop included.",
        "Vanille, Kardamom und Kakaoschale. Ohne Koffein bis zur Endstation.",
        8.90, 9.50, 110,
    ),
    (
        "slow-pour", "brewing", "Slow Pour Dripper", "Langsam Handfilter",
        "Ribbed porcelain cone for one to four cups. Dishwasher safe.",
        "Gerippter Porzellanfilter für eine bis vier Tassen. Spülmaschinenfest.",
        24.00, 26.00, 55,
    ),
    (
        "heron-kettle", "brewing", "Heron Gooseneck Kettle", "Reiher Schwanenhalskessel",
        "A narrow spout and a steady hand: 0.9 litres, any hob.",
        "Schmale Tülle, ruhige Hand: 0,9 Liter, für jeden Herd.",
        59.00, 64.00, 22,
    ),
    (
        "tidewater-press", "brewing", "Tidewater French Press", "Gezeiten Pressstempelkanne",
        "Double-walled glass, fine steel mesh, room for three mugs.",
        "Doppelwandiges Glas, feines Stahlsieb, genug für drei Becher.",
        39.50, 42.00, 34,
    ),
    (
        "millstone", "brewing", "Millstone Hand Grinder", "Mühlstein Handmühle",
        "Conical steel burrs, forty clicks, and a walnut crank.",
        "Konisches Stahlmahlwerk, vierzig Stufen, Kurbel aus Nussbaum.",
        74.00, 79.00, 18,
    ),
    (
        "cloudbank", "table", "Cloudbank Mug", "Wolkenbank Becher",
        "Hand-thrown stoneware with a glaze that is different each time.",
        "Gedrehtes Steinzeug mit einer Glasur, die jedes Mal anders ausfällt.",
        19.50, 21.00, 75,
    ),
    (
        "fernhill", "table", "Fernhill Teapot", "Farnhügel Teekanne",
        "Six cups, a drip-free spout and a strainer that fits.",
        "Sechs Tassen, tropffreie Tülle und ein Sieb, das passt.",
        46.00, 49.00, 26,
    ),
    (
        "salt-oat", "table", "Oat and Sea Salt Biscuits", "Hafer-Meersalz-Kekse",
        "Browned butter, toasted oats, flakes of salt. A tin of twelve.",
        "Braune Butter, geröstete Haferflocken, Salz. Zwölf in der Dose.",
        7.40, 7.90, 200,
    ),
    (
        "linden-honey", "table", "Linden Blossom Honey", "Lindenblütenhonig",
        "Pale and minty, from hives at the edge of town.",
        "Hell und minzig, von Bienenstöcken am Stadtrand.",
        10.60, 11.50, 0,
    ),
)  # fmt: skip

CATEGORIES: Final = {one.id: one for one in _CATEGORIES}
PRODUCTS: Final = {
    key: Product(
        key, f"AC-{number:03}", category, {"en": en, "de": de}, {"en": text, "de": wort}, eur, usd, stock
    )
    for number, (key, category, en, de, text, wort, eur, usd, stock) in enumerate(_ROWS, 1)
}
