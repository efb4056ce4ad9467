"""The words and signs that introduce a telephone number, of many languages; our own list."""

WORDS = frozenset(
    [
        *("tel", "tél", "tele", "phone", "phones", "telephone", "telephones", "telefon", "telefono"),
        *("teléfono", "teléfonos", "telefone", "telefones", "téléphone", "telefonnummer", "telefonszám"),
        *("telefax", "téléc", "telef", "telf", "ph", "fax", "mobile", "mobiles", "mob", "móvil", "moviles"),
        *("mobil", "mobilnummer", "mobiel", "cell", "cellular", "cellulare", "cel", "celular", "celulares"),
        *("handy", "gsm", "whatsapp", "viber", "sms", "pager", "hotline", "helpline", "toll", "freephone"),
        *("landline", "voicemail", "voice", "rufnummer", "puhelin", "puh", "tlf", "tlfn", "telefoon"),
        *("telepon", "hp", "call", "dial", "reach", "reached", "fon", "τηλ", "τηλέφωνο", "тел", "телефон", "моб", "мобильный"),
        *("факс", "هاتف", "الهاتف", "جوال", "تلفن", "موبایل", "טל", "טלפון", "נייד", "फोन", "मोबाइल", "โทร"),
        *("đt",),
    ]
)
"""In lower case."""

BETWEEN = frozenset(
    [
        *("number", "numbers", "no", "nr", "num", "nos", "n", "nummer", "us", "me", "him", "her", "them", "at"),
        *("on", "is", "are", "to", "and", "und", "or", "free", "line", "today", "now", "office", "home"),
        *("work", "direct", "phone", "fax", "app", "toll", "mobile", "the", "our", "my", "your"),
    ]
)
"""Words that may stand between one of `WORDS` and the number."""

SIGNS = (
    *(
        "電話",
        "电话",
        "手机",
        "手機",
        "传真",
        "傳真",
        "携帯",
        "전화",
        "휴대폰",
        "연락처",
        "โทร",
        "☎",
        "☏",
        "✆",
        "📞",
        "📱",
        "📠",
    ),
    *("℡", "☎️"),
)
"""What stands before a number without a space, of scripts without spaces, too."""

LETTERS = frozenset("TFPM")
"""Abbreviations when a colon or a dot follows: `T: 01483 424506`."""
