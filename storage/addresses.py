"""What postal addresses look like in English and in Russian texts: a street with a house, or what stands for one.

A street alone is none ("five minutes from Baker Street"), nor is a number with a word ("7 lane road").
"""

import re

# English

_WAY = (
    r"(?:street|st|avenue|ave|road|rd|lane|ln|boulevard|blvd|drive|dr|court|ct|place|pl|square|sq|terrace|way|close"
    r"|crescent|gardens|row|hill|walk|parkway|pkwy|highway|hwy|quay|mews|grove|park)\b\.?"
)
_HOUSE = r"(?<![\w.,:-])\d{1,5}[A-Za-z]?(?:[/-]\d{1,4})?"
_UNIT = r"(?:apartment|apt|flat|unit|suite|room|no)\.?\s*#?\w{1,5}"
_POSTCODE = r"(?:[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}|[A-Z]{2}\s\d{5}(?:-\d{4})?|\d{5})"
_TOWN = rf"(?:,\s*[A-Z][\w'’-]+(?:\s[A-Z][\w'’-]+){{0,2}})?,?\s*{_POSTCODE}\b"
_TAIL = rf"(?:,?\s*(?i:{_UNIT})\b)?(?:{_TOWN}|,\s*\d{{5}}\s[A-Z]\w+)?"

_SMALL_WAY = r"(?:street|st|avenue|ave|road|rd|lane|ln|boulevard|blvd|drive|dr|court|crescent|terrace|close)"

_ENGLISH = (
    # 221B Baker Street, Apt 4, London NW1 6XE
    rf"(?:(?i:{_UNIT}),\s*(?:[A-Z]\w+\s(?:House|Court|Building|Apartments|Tower|Mansions),\s*)?)?{_HOUSE}\s+(?:[A-Z][\w.'’-]*\s+){{1,4}}(?i:{_WAY}){_TAIL}",
    # live at 14 maple street: in small letters only where somebody is, and with the plainest words
    r"(?i:(?<=\bat )|(?<=\bto )|(?<=\bon )|(?<=\bis ))"
    rf"\d{{1,5}}[a-z]?\s+[a-z]{{3,}}(?:\s[a-z]{{3,}})?\s+(?:street|avenue|road|lane|boulevard)\b{_TAIL}",
    # 1208 s lamar blvd, austin tx 78704; apt 3, 210 west 45th street; 77 king st: in small letters where somebody is
    rf"(?i:(?<=\bat )|(?<=\bto )|(?<=\bon )|(?<=\bin )|(?<=\bis )|(?<=address: )|(?<=address ))"
    rf"(?:(?i:{_UNIT}),?\s+)?\d{{2,5}}[a-z]?\s+(?:(?:[nsew]\.?|north|south|east|west)\s+)?(?:[a-z]{{3,}}|\d{{1,3}}(?:st|nd|rd|th))(?:\s[a-z]{{3,}})?"
    rf"\s+{_SMALL_WAY}\b\.?(?:,?\s*(?i:{_UNIT})\b)?(?:,?\s+[a-z]{{3,}}(?:,?\s+[a-z]{{2}}\s+\d{{5}}\b)|{_TOWN})?",
    # 5 Rue des Lilas, 75011 Paris; Hauptstraße 12, 10115 Berlin
    r"(?<![\w.,-])\d{1,4},?\s+(?i:rue|allée|chemin|via|calle|piazza)\s+(?:[\w'’-]+\s){0,2}[A-Z][\w'’-]+(?:,\s*\d{5}\s[A-Z][\w'’-]+)?",
    r"\b[A-ZÄÖÜ][\wäöüß]+(?:straße|strasse|str\.|weg|platz|gasse|allee)\s+\d{1,4}[a-z]?(?:,\s*\d{5}\s[A-Z]\w+)?",
    rf"(?i:\bP\.?\s?O\.?\s?Box)\s+\d+(?:{_TOWN})?",
)

# Russian

_NAME = r"(?:\d{1,3}-?(?:[йя]|го|ой)\s)?[А-ЯЁ][\w.-]*(?:\s[А-ЯЁ][\w-]*){0,2}"
_STREET = (
    r"(?<!\w)(?:(?i:ул|просп|пр|пр-т|пер|ш|б-р|бул|пл|наб|пр-д|мкр)\b\.?"
    r"|(?i:улиц[аеуы]|улицей|проспект[аеу]?|переул(?:ок|ка|ке|ку)|шоссе|бульвар[аеу]?|площад[ьи]|набережн(?:ая|ой|ую)|проезд[аеу]?|тупик[аеу]?|алле[яеи]))"
)
_NUMBER = r"(?:(?i:д\.|дом[ае]?|д\b)\s*)?\d{1,4}[а-яА-Я]?(?:[/-]\d{1,4})?(?:к\d+)?\b"
_PART = r"(?:,?\s*(?i:корпус|корп|к|строение|стр|квартира|квартире|кв|офис|оф|подъезд|под|этаж)\b\.?\s*\d{1,4}[а-я]?)*"
_PREFIXED = r"(?:\d{6},\s*)?(?:(?:(?i:г|гор|пос|пгт|с|дер|ст)\.\s*|[Вв]\s)[А-ЯЁ][\w-]+(?:\s[А-ЯЁ][\w-]+)?,\s*)?"

_RUSSIAN = (
    # г. Казань, ул. Баумана, 44/8, кв. 3
    rf"{_PREFIXED}{_STREET}\s*{_NAME},?\s+{_NUMBER}{_PART}",
    # Невский пр-т, д. 28
    rf"{_PREFIXED}{_NAME}\s{_STREET},?\s+{_NUMBER}{_PART}",
    # ул ленина 5, улица ленина дом 5
    rf"(?i:\bул\b\.?)\s*[а-яё-]{{3,}}(?:\s[а-яё-]{{3,}})?,?\s+{_NUMBER}{_PART}",
    rf"(?i:\bулиц[аеу])\s+[а-яё-]{{3,}}(?:\s[а-яё-]{{3,}})?,?\s+(?:д\.|дом)\s*\d{{1,4}}{_PART}",
    # дом 8 по улице Чехова
    rf"(?i:\bдом)\s+{_NUMBER}\s+(?i:по|на)\s+{_STREET}\s+{_NAME}",
    # живу на гагарина 15 кв 7, я на советской 21
    r"(?i:(?<=живу на )|(?<=живет на )|(?<=я на )|(?<=адрес )|(?<=приезжай на )|(?<=прописан на )|(?<=снимаю на ))"
    r"[А-ЯЁа-яё][а-яё-]{4,}(?:\s[а-яё-]{4,})?,?\s+(?:д\.?\s*|дом\s+)?\d{1,3}[а-я]?(?:[/-]\d{1,4})?(?![\d-])"
    rf"{_PART}(?!\s*(?:час|мин|лет|год|этаж|дн|руб|тыс|процент|км|м\b))",
    # Тверская, 12, кв. 40
    rf"{_PREFIXED}[А-ЯЁ][\w-]+,?\s+{_NUMBER},?\s*(?i:кв|квартира)\b\.?\s*\d{{1,4}}",
    r"(?i:\bд(?:ом)?\b\.?\s*\d{1,4}[а-я]?,?\s*кв(?:артира)?\b\.?\s*\d{1,4})",
    r"\b\d{6},\s*[А-ЯЁ][\w-]+(?:\s[А-ЯЁ][\w-]+)?(?:,\s*(?:а/я|до востребования)\s*\d*)?",
)

ENGLISH = tuple(map(re.compile, _ENGLISH))
RUSSIAN = tuple(map(re.compile, _RUSSIAN))
