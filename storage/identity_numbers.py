"""Numbers of papers that tell who somebody is: passports, driving licences, national and tax numbers, in the forms of
English- and Russian-speaking countries.

A few forms are taken by themselves, 123-45-6789 for one; the others near a word such as "licence" or "ИНН".
"""

import re
from collections.abc import Iterator

AFTER, BEFORE = 60, 30
"""How many characters after such a word a number may begin, and before it end."""

WORD = re.compile(
    r"passport|\b(?:ssn|itin|nino|aadhaa?r)\b|social security|\bsocial (?=(?:is|number|no)\b)"
    r"|national insurance|\bNI (?=number|no\b)|\bNHS\b|medicare|\bPAN\b|\btax (?:id|number|no)\b"
    r"|(?:driv\w+|driver'?s?|d\.?) ?licen[cs]e|\blicen[cs]e (?=number|no\b|#|is\b)"
    r"|\b(?:green|pan|identity|id) card|\bid (?:number|no)\b|residence permit|visa number|birth certificate"
    r"|паспорт|загран|серия|\bинн\b|снилс|\bиин\b|\bправа\b|водительск\w+|удостоверени\w+|\bполис\w*|\bомс\b"
    r"|военн\w+ билет|военник|свидетельств\w+ о|\bвнж\b|\bвид на жительство",
    re.IGNORECASE,
)
NUMBER = re.compile(
    r"(?<![\w.])(?:"
    r"\d{2} ?\d{2} ?(?:№|N|номер)? ?\d{6}|\d{2} ?№? ?\d{7}"  # Russian passports and licences
    r"|[IVXLC]{1,4} ?- ?[А-Я]{2} ?(?:№|N)? ?\d{6}|[А-Я]{2} ?(?:№|N)? ?\d{6,7}"  # certificates, military papers
    r"|(?=[A-Z\d]*\d[A-Z\d]*\d)[A-Z]{1,2} ?\d[A-Z\d]{5,8}|[A-Z]{5}\d{4}[A-Z]|[A-Z9]{5}\d{6}[A-Z9]{2}\w{3}"
    r"|[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]|[A-Z]\d{2,3}(?:[ -]\d{2,4}){2,4}"
    r"|(?:\d[ -]?){6,15}\d"
    r")(?!\w|[.,]\d)",
    re.IGNORECASE,
)
DATE = re.compile(r"(?:19|20)\d\d-\d\d-\d\d|\d\d[- ]\d\d[- ](?:19|20)\d\d|(?:1[5-9]|20)\d\d ?- ?(?:1[5-9]|20)\d\d")
PARTS = re.compile(r"серия\s+(\d{2} ?\d{2})\D{1,10}номер\s+(\d{6})", re.IGNORECASE)
CLEAR = re.compile(
    r"(?<![\w.-])(?:\d{2} ?\d{2} ?№ ?\d{6}"  # a Russian passport
    r"|\d{3}-\d{2}-\d{4}"  # a social security number
    r"|\d{3}-\d{3}-\d{3}[ -]\d{2}"  # СНИЛС
    r"|(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]"  # national insurance
    r"|[A-Z9]{5}\d[0156]\d[0-3]\d{2}[A-Z9]{2}\d[A-Z]{2})(?![\w-])"  # a British driving licence
)


def find_identity_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Where such numbers are, some of them twice."""
    if not any(map(str.isdigit, text)):
        return
    for parts in PARTS.finditer(text):
        yield parts.span(1)
        yield parts.span(2)
    for word in WORD.finditer(text):
        numbers = [NUMBER.search(text, word.end(), word.end() + AFTER), *_before(text, word.start())]
        yield from (number.span() for number in numbers if number and not DATE.fullmatch(number[0]))
    yield from (number.span() for number in CLEAR.finditer(text))


def _before(text: str, end: int) -> Iterator[re.Match[str]]:
    """The last number before a word, in its sentence: "4510 987654 is my passport"."""
    start = max(0, end - BEFORE - 20, *(text.rfind(mark, 0, end) + 1 for mark in ".!?\n"))
    for number in list(NUMBER.finditer(text, start, end))[-1:]:
        if end - number.end() <= BEFORE:
            yield number
