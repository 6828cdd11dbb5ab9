"""Signs of currencies and names of units."""

from __future__ import annotations

import re
from functools import lru_cache

_SIGNS = "HK$ NZ$ US$ R$ A$ C$ S$ $ € £ ¥ ₹ ₽ ₩ ₺ ₴ ₫ ₪ ₦ ฿ ¢ 元 円"
_CODES = (
    "aed ars aud bgn brl btc cad chf clp cny cop czk dkk egp eth eur gbp hkd huf idr ils inr isk jpy kes krw mxn myr"
    " ngn nok nzd pen php pln rmb ron rub sar sek sgd thb try twd uah usd vnd zar"
)
_WORDS = "k\u010d z\u0142 kr ft lei \u043b\u0432 rs fr \u0440\u0443\u0431"
"""Crowns, zloty, forints, lei, lev, rupees, francs and roubles."""

CODES = frozenset(_CODES.split())
CURRENCY = (
    "|".join(map(re.escape, _SIGNS.split())) + rf"|(?i:{'|'.join([*_CODES.split(), *_WORDS.split()])})(?![^\W\d_])"
)
"""A pattern that matches one currency."""

_UNITS = (
    "% ‰ percent pct ppm ppb kg g mg µg ug t lb lbs oz m mm cm dm km µm um nm in ft yd mi mile miles inch"
    ' inches " ″ s sec secs second seconds ms µs us ns min mins minute minutes h hr hrs hour hours d day days wk week'
    " weeks month months y yr yrs year years l L ml mL cl dl hl gal qt pt cc °C °F °K ° deg rad rpm Hz kHz MHz GHz"
    " kW MW GW kWh Wh MWh VA kVA mV kV mA mAh Ah Ohm Ω kΩ MΩ kJ MJ cal kcal Nm kN Pa hPa kPa MPa bar mbar psi"
    " bhp hp ps kb KB MB GB TB PB kB KiB MiB GiB TiB Mb Gb Mbps Gbps kbps mph kph kmh kmpl mpg knots kn ha acre"
    " sqft sqm px pcs pc cyl mol mmol dB lm lx cd acres mo"
)
"""Single capitals are left out: ``12A`` and ``12C`` are seats rather than currents and temperatures."""
_MAGNITUDES = "k K M B bn mn mio mrd Mio Mrd tn thousand million millions billion billions trillion 千 万 億 亿"
_KNOWN = frozenset((*_UNITS.split(), *_MAGNITUDES.split()))


@lru_cache(maxsize=4096)
def is_known_unit(unit: str) -> bool:
    """Return whether ``unit`` measures something, such as ``km/h``, or stands for a power of ten, such as ``bn``."""
    parts = [part.rstrip("23²³.") for part in re.split(r"[ /·*^]+", unit) if part]
    return bool(parts) and all(part in _KNOWN for part in parts)
