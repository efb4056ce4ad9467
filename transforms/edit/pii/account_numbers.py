"""Finds numbers of payment cards and bank accounts (IBAN) by their check digits."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from stdnum import iban, luhn, numdb

from tamis.transforms.edit.pii.found_value import FoundValue

_SEPARATOR = r"(?: ?- ?| )"
_CARD = re.compile(
    r"(?:(?<![\w.,/+-])|(?<=no\.))(?:"
    + "|".join(
        [
            rf"[0-9]{{4}}(?P<four>{_SEPARATOR})[0-9]{{4}}(?P=four)[0-9]{{4}}(?P=four)[0-9]{{4}}(?:(?P=four)[0-9]{{1,3}})?",
            rf"3[0-9]{{3}}(?P<amex>{_SEPARATOR})[0-9]{{6}}(?P=amex)[0-9]{{4,5}}",
            r"[0-9]{13,19}",
        ]
    )
    + r")(?!(?:[-.,/]|)[\w])"
)
_ISSUERS = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5][0-9][0-9]|222[1-9]|22[3-9][0-9]|2[3-6][0-9][0-9]|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|220[0-4][0-9]{12}"  # Mir
    r"|3[47][0-9]{13}"  # American Express
    r"|(?:6011[0-9][0-9]|65[0-9]{4}|64[4-9][0-9]{3})[0-9]{10,13}"  # Discover
    r"|3(?:0[0-5]|095|[689][0-9])[0-9]{11,16}"  # Diners Club
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}"  # JCB
    r"|62[0-9]{14,17}"  # UnionPay
)
_MAESTRO = re.compile(r"(?:50|5[6-8]|6[0-9])[0-9]{10,17}")
_CARD_WORD = re.compile(
    r"(?i)\b(?:card|visa|master ?card|maestro|amex|american express|discover|diners|jcb|unionpay|credit|debit|cc|ccn|pan|cvv2?"
    r"|cvc|payment|karte|kreditkarte|carte|tarjeta|cartão|carta)\b|карт|卡号|信用卡|カード"
)
_OTHER_WORD = re.compile(
    r"(?i)(?:order|invoice|tracking|track|isbn|issn|ean|upc|gtin|serial|imei|imsi|iccid|sku|part|ticket|reference|ref|item|model"
    r"|product|asin|doi|pmid|steam\w*|user|account|id|uuid|hash|parcel|shipment|confirmation|transaction|case|batch|lot)\W*"
    r"(?:id|no|nr|number|num|code|#|№)?\W*\Z"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])(?:[A-Za-z]{2}|[A-Z]{2} )[0-9][0-9](?:[ -]?[A-Za-z0-9]){11,30}")


def card_numbers(text: str) -> Iterator[FoundValue]:
    """The numbers of payment cards in a line, without spaces as their values.

    A number has the range of an issuer and the check digit of Luhn. One in groups counts unless a
    word before it says what else it is; in one piece it needs a word about cards or no such word.
    Maestro's range, and a number behind `=`, need a word about cards.
    """
    for match in _CARD.finditer(text):
        number = re.sub("[^0-9]", "", match[0])
        about_cards = _CARD_WORD.search(text[max(0, match.start() - 60) : match.end() + 30])
        before = text[max(0, match.start() - 24) : match.start()]
        if not about_cards and (before.endswith("=") or _OTHER_WORD.search(before)):
            continue
        issued = _ISSUERS.fullmatch(number) or (about_cards and _MAESTRO.fullmatch(number))
        if issued and len(set(number)) > 1 and luhn.is_valid(number):
            yield FoundValue("card", *match.span(), number)


def ibans(text: str) -> Iterator[FoundValue]:
    """The IBANs of a line, in upper case and without spaces as their values: ISO 13616 with the
    length and form of the country, and ISO 7064 mod 97."""
    last = 0
    for match in _IBAN.finditer(text):
        size = iban_length(match[0][:2].upper())
        if match.start() < last or size == 0:
            continue
        letters = [place for place in range(*match.span()) if text[place].isalnum()]
        if len(letters) < size or text[letters[size - 1] + 1 : letters[size - 1] + 2].isalnum():
            continue
        stop = letters[size - 1] + 1
        number = re.sub("[ -]", "", text[match.start() : stop]).upper()
        if iban.is_valid(number, check_country=False):
            last = stop
            yield FoundValue("iban", match.start(), stop, number)


@functools.cache
def iban_length(country: str) -> int:
    """The characters of an IBAN of a country; 0 if it has none. Its form is as in the registry: `18!n` is 18 digits."""
    form = numdb.get("iban").info(country)[0][1].get("bban", "")
    return sum(map(int, re.findall("[0-9]+", form))) + 4 if form else 0
