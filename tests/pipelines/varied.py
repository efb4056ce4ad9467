"""A small seeded corpus of natural sentences in which the rules of the shipped recipes find texts to keep and texts to drop."""

from __future__ import annotations

import gzip
import html
import json
import random
from collections.abc import Callable
from pathlib import Path

from tests.pipelines.corpus import Record, dealt, save

_SLOTS = {
    "person": "the farmer|a young teacher|my grandmother|the captain|an old sailor|the village doctor|a patient clerk|"
    "the mayor|our neighbour|the librarian|a tired nurse|the gardener|her brother|the baker|a travelling merchant|"
    "the night watchman",
    "place": "harbour|valley|market square|northern coast|old mill|railway station|river bank|university|hillside|cathedral|"
    "fishing village|island|capital|orchard|border town|lighthouse|desert road|museum|school yard|botanical garden",
    "thing": "letter|wooden boat|map|clock|basket of apples|lantern|violin|ladder|notebook|bicycle|kettle|telescope|painting|"
    "broken chair|sewing machine|coin|barometer|silver spoon|suitcase|loaf of bread|compass|dictionary|garden gate|stone wall",
    "quality": "quiet|narrow|modest|cheerful|distant|muddy|brilliant|plain|fragile|generous|stubborn|careful|pale|crowded|"
    "remote|gentle|bitter|worn|curious|heavy|familiar|splendid|dusty|golden",
    "when": "in the early spring|after the long winter|on a windy evening|before sunrise|at the end of the month|"
    "during the war|every second Sunday|in late October|while the others slept|shortly after noon|for almost seven years|"
    "on the last day",
    "did": "repaired|discovered|described|carried|sold|painted|remembered|measured|borrowed|examined|hid|returned|polished|"
    "forgot|collected|defended|admired|replaced|weighed|restored",
    "field": "chemistry|astronomy|geology|medicine|agriculture|navigation|grammar|architecture|music|botany|economics|law",
    "many": "two|three|a dozen|several|nearly forty|countless|eleven|a few|hundreds of|twenty-six",
}
_SLOTS_OF = {name: words.split("|") for name, words in _SLOTS.items()}

_SENTENCES = (
    "{When}, {person} {did} the {quality} {thing} near the {place}.",
    "The {place} was {quality} {when}, and nobody could say why.",
    "It is often forgotten that {person} once {did} a {thing} with great patience.",
    "If you walk from the {place} to the {place}, you will see {many} {quality} houses.",
    "{Person} said that the {thing} belonged to a family of scholars in {field}.",
    "There have been {many} attempts to explain how the {thing} came to the {place}.",
    "Students of {field} know that a {quality} answer is rarely the best one.",
    "We {did} what we could, but the {thing} remained {quality}.",
    "Why would {person} leave the {place} {when}?",
    "The history of {field} begins with {person} and a {quality} {thing}.",
    "According to the report, {many} visitors {did} the {thing} {when}.",
    "Rain fell on the {place} for days, so that the roads became {quality} and slow.",
    "{Person} and {person} {did} the same {thing} without knowing it.",
    "In {field}, as in life, a {quality} beginning does not promise a {quality} end.",
    "Nothing at the {place} seemed {quality} to those who had grown up there.",
    "The price of a {thing} rose {when}, which {person} had expected.",
    "Some call it the {quality} {thing}; others prefer the name used at the {place}.",
    "A letter from the {place} mentions {many} {quality} instruments and one {thing}.",
    "To reach the {place} one must cross {many} bridges and a {quality} field.",
    "Later that year {person} {did} a {quality} book about {field}.",
    "They were sure that the {thing} would be found {when}.",
    "What {person} {did} at the {place} has never been written down!",
    "Each {thing} in the room told of a {quality} journey through the {place}.",
    "With {many} friends, {person} opened a school of {field} behind the {place}.",
    "The {quality} light of the {place} is the subject of {many} poems.",
    "Although the {thing} looked {quality}, it had been {did} by {person} {when}.",
    "Modern {field} owes much to the {quality} work done at the {place}.",
    "You should not judge a {thing} by the {quality} box that holds it.",
    "Between the {place} and the sea lies a {quality} strip of land that floods {when}.",
    "Her notes on {field} fill {many} {quality} pages and end in the middle of a line.",
)
"""Each is in a page once at most: it is the words in it that differ from page to page."""

_FOREIGN = {
    "french": (
        "Le petit village se trouve au bord d'une rivière tranquille.|"
        "Chaque matin, le boulanger ouvre sa boutique avant l'aube.|"
        "Il a fallu trois ans pour réparer le vieux pont de pierre.|"
        "Les enfants jouaient dans la cour pendant que leur grand-mère préparait la soupe.|"
        "On raconte que la forêt était autrefois beaucoup plus grande.|"
        "Personne ne savait d'où venait cette étrange lumière.|"
        "Le musée possède une collection remarquable de cartes anciennes.|"
        "Nous avons marché longtemps sous la pluie avant de trouver une auberge.|"
        "Elle écrivait des lettres qu'elle n'envoyait jamais.|"
        "La récolte de cette année sera sans doute meilleure que la précédente."
    ),
    "german": (
        "Der alte Leuchtturm steht seit mehr als hundert Jahren an der Küste.|"
        "Im Winter kommen nur wenige Gäste in das kleine Dorf.|"
        "Die Lehrerin erklärte den Kindern, warum der Himmel blau ist.|"
        "Niemand wusste, wem das Fahrrad vor dem Bahnhof gehörte.|"
        "Nach dem Regen roch der ganze Garten nach frischer Erde.|"
        "Mein Großvater hat diese Uhr selbst gebaut und nie verkauft.|"
        "Wer früh aufsteht, sieht die Fischer mit ihren Booten hinausfahren.|"
        "Das Museum zeigt eine Sammlung von Landkarten aus vier Jahrhunderten.|"
        "Obwohl die Brücke gesperrt war, gingen viele Leute hinüber.|"
        "Am Ende des Tages saßen alle zusammen am Tisch und schwiegen."
    ),
    "japanese": (
        "春になると、この町の川沿いには桜の花が咲きます。|祖母は毎朝五時に起きて、庭の野菜に水をやります。|"
        "古い図書館には、江戸時代の地図がたくさん保存されています。|電車が遅れたので、私たちは駅で一時間も待ちました。|"
        "彼は若いころ、船に乗って世界中を旅したそうです。|雨が降る日は、窓のそばで本を読むのが好きです。|"
        "この橋は百年前に村の人々が力を合わせて作りました。|先生は生徒たちに、星の名前を一つずつ教えました。"
    ),
    "chinese": (
        "这座小城坐落在河边，每年春天都会迎来许多游客。|老师告诉我们，学习语言最重要的是坚持。|"
        "他在山里住了三年，写了一本关于植物的书。|博物馆里收藏着几百年前的瓷器和地图。|"
        "下雨的时候，老人们喜欢在茶馆里聊天下棋。|火车站旁边有一家很有名的面馆，总是排着长队。|"
        "祖父留下来的那只钟到现在还走得很准。|村里的人一起修好了那座古老的石桥。"
    ),
    "russian": (
        "Старый дом стоял на самом берегу реки.|Каждое утро почтальон приносил газеты и письма.|"
        "Никто не помнил, кто построил эту мельницу.|Учитель рассказал детям о далёких звёздах.|"
        "Зимой дорога к станции становилась почти непроходимой.|В музее хранится коллекция старинных карт.|"
        "Она долго смотрела в окно и молчала.|После дождя в саду пахло мокрой землёй."
    ),
}
_FOREIGN_OF = {name: text.split("|") for name, text in _FOREIGN.items()}

ADS = (
    "Buy cheap shoes now with free shipping and the best price of the season",
    "Click here to get an exclusive discount that you will not find elsewhere",
    "Limited offer for new customers with a coupon for every online order",
    "Subscribe to our newsletter and win a luxury watch or a holiday package",
    "Top rated casino bonus with instant payout and no deposit to be made",
    "Lose weight fast with this amazing pill that doctors do not want you to have",
    "Order today and save up to half of the price on every replica handbag",
    "Cheap loans without credit check are approved within minutes of the click",
)
"""What the model of `dclm` is to know as bad."""

_QUIZ = {
    "Mercury": "Which metal that is liquid at room temperature did the alchemists of Prague keep in sealed bottles of glass?",
    "Seven": "How many wooden bridges crossed the frozen river Elbrin when the second army of king Oswald arrived there?",
    "A comet": "What did the astronomer Lindqvist see through her new telescope on the night of the great meteor shower?",
    "Warm air": "Why do the migrating storks of the eastern plains avoid the long way over the open sea in autumn?",
    "Two dukes": "Who signed the treaty of Marwick after nine years of quarrels about the salt mines beneath the town?",
    "In 1587": "When was the first printed cookery book of the province sold at the winter fair of Saint Aldric?",
}
_WHY = "{} is the answer that most of the experts gave in the second round of the quiz"
QUESTIONS: list[Record] = [
    {"id": f"quiz-{number}", "question": question, "answers": {"text": [answer, _WHY.format(answer)]}}
    for number, (answer, question) in enumerate(_QUIZ.items())
]
"""A benchmark, some items of which stand in pages."""


def _phrase(draw: random.Random, template: str) -> str:
    """A sentence with every slot filled."""
    while "{" in template:
        head, _, rest = template.partition("{")
        name, _, tail = rest.partition("}")
        word = draw.choice(_SLOTS_OF[name.lower()])
        template = head + (word[0].upper() + word[1:] if name[0].isupper() else word) + tail
    return template


def _lines(draw: random.Random, sentences: int) -> list[str]:
    return [_phrase(draw, template) for template in draw.sample(_SENTENCES, sentences)]


def _prose(draw: random.Random, low: int = 5, high: int = 24) -> str:
    """Paragraphs of up to five sentences."""
    return _joined(draw, _lines(draw, draw.randint(low, high)))


def _joined(draw: random.Random, lines: list[str]) -> str:
    text = lines[0]
    for line in lines[1:]:
        text += draw.choices((" ", "\n", "\n\n"), (6, 1, 1))[0] + line
    return text


def _foreign(language: str) -> Callable[[random.Random], str]:
    def made(draw: random.Random) -> str:
        lines = draw.sample(_FOREIGN_OF[language], draw.randint(5, 8))
        return f"{draw.randint(1200, 2020)}: " + ("" if language in ("japanese", "chinese") else " ").join(lines)

    return made


def _words(draw: random.Random, slots: tuple[str, ...], number: int) -> list[str]:
    return [word for _ in range(number) for word in draw.choice(_SLOTS_OF[draw.choice(slots)]).split()]


def _ads(draw: random.Random) -> str:
    lines = draw.sample(ADS, draw.randint(5, 8))
    return " ".join(f"{line} in {draw.choice(_SLOTS_OF['place'])} number {draw.randint(2, 99)}." for line in lines)


def _hashes(draw: random.Random) -> str:
    return " ".join(word + (" #" if draw.random() < 0.3 else "") for word in _prose(draw, 6, 9).split(" "))


def _ellipses(draw: random.Random) -> str:
    return "\n".join(line.rstrip(".?!") + "..." for line in _lines(draw, draw.randint(6, 12)))


def _dots(draw: random.Random) -> str:
    return " ".join(word + (" ..." if draw.random() < 0.3 else "") for word in _prose(draw, 6, 9).split(" "))


def _bullets(draw: random.Random) -> str:
    return "\n".join(f"{draw.choice('•-')} {line}" for line in _lines(draw, draw.randint(6, 12)))


def _figures(draw: random.Random) -> str:
    return "\n".join(
        f"{line} {draw.randint(1, 9999)} 3.5 = 7 + 8 % 19 20 21 {draw.randint(1, 99)}." for line in _lines(draw, 6)
    )


def _chemistry(draw: random.Random) -> str:
    parts = ("hydroxy", "methyl", "phenyl", "chloro", "ethano", "benzo", "carbonyl", "amino", "sulfonyl", "nitro")
    names = ("".join(draw.choices(parts, k=draw.randint(2, 4))) for _ in range(draw.randint(60, 120)))
    return f"the formula of {' '.join(names)}"


def _list(draw: random.Random) -> str:
    """English without a single stop word."""
    return ", ".join(" ".join(_words(draw, ("quality", "did", "field"), 2)) for _ in range(draw.randint(35, 80))) + "."


def _code(draw: random.Random) -> str:
    name = draw.choice(_SLOTS_OF["field"])
    return f"{_prose(draw, 4, 8)}\nfunction {name}(value) {{ return value + {draw.randint(1, 500)}; }}\n{_lines(draw, 1)[0]}"


def _lorem(draw: random.Random) -> str:
    return f"{_prose(draw, 4, 8)}\nLorem ipsum dolor sit amet, consectetur adipiscing elit.\n{_prose(draw, 4, 6)}"


def _menu(draw: random.Random) -> str:
    """Short lines, most without an end, above some sentences."""
    lines = [" ".join(_words(draw, ("quality", "place", "field"), 3)).title() for _ in range(draw.randint(20, 40))]
    return "\n".join([*lines, *_lines(draw, 4)])


def _headlines(draw: random.Random) -> str:
    return "\n".join(line.rstrip(".?!") + " of all that have to be with us" for line in _lines(draw, draw.randint(8, 14)))


def _column(draw: random.Random) -> str:
    """A word a line, with a blank line behind each."""
    return "\n\n".join(["the", "of", *_words(draw, tuple(_SLOTS), draw.randint(40, 70))])


def _airy(draw: random.Random) -> str:
    """Sentences far apart."""
    return ("\n" * draw.randint(4, 9)).join(_lines(draw, draw.randint(6, 12)))


def _blog(draw: random.Random) -> str:
    """A short paragraph again and again between long ones: few of the lines, and many of the paragraphs."""
    again = _lines(draw, 1)[0]
    return "\n\n".join(paragraph for _ in range(4) for paragraph in ("\n".join(_lines(draw, draw.randint(4, 6))), again))


def _song(draw: random.Random) -> str:
    """A refrain between the verses: more or less of it is duplicate lines."""
    refrain, verses = _lines(draw, 1)[0], _lines(draw, draw.randint(6, 20))
    return "\n".join(line for verse in verses for line in ([verse, refrain] if draw.random() < 0.5 else [verse]))


def _pasted(draw: random.Random) -> str:
    """Paragraphs that come again, whole."""
    paragraphs = [_prose(draw, 2, 4).replace("\n", " ") for _ in range(draw.randint(4, 8))]
    return "\n\n".join([*paragraphs, *draw.sample(paragraphs, draw.randint(1, 3))])


def _stutter(draw: random.Random) -> str:
    """An n-gram of two to ten words again and again, in prose: the longer it is, the later the rule that finds it."""
    words = [*_words(draw, ("quality", "did", "field"), 6), "the", "and", "of", "with"]
    gram = " ".join(draw.sample(words, draw.randint(2, 10)))
    times = max(2, draw.randint(6, 24) // len(gram.split()) + draw.randint(0, 2))
    lines = _lines(draw, draw.randint(6, 12))
    for _ in range(times):
        place = draw.randrange(len(lines))
        lines[place] = f"{lines[place][:-1]} {gram}{lines[place][-1]}"
    return " ".join(lines)


def _chant(draw: random.Random) -> str:
    """Prose in which two words are a quarter of the text and more."""
    pair = f"{draw.choice(_SLOTS_OF['quality'])} {draw.choice(_SLOTS_OF['field'])} "
    return "\n".join(line[:-1] + " " + pair * draw.randint(4, 9) + "." for line in _lines(draw, draw.randint(4, 8)))


def _quoting(share: float) -> Callable[[random.Random], str]:
    """Prose with so much of a question of the benchmark in its midst."""

    def made(draw: random.Random) -> str:
        words = str(draw.choice(QUESTIONS)["question"]).split()
        lines = _lines(draw, draw.randint(6, 12))
        return " ".join([*lines[:4], " ".join(words[: round(len(words) * share)]), *lines[4:]])

    return made


def _odd(draw: random.Random) -> str:
    return draw.choice(
        (
            "",
            " \n\t \n",
            "#" * draw.randint(1, 400),
            "\u200b\u2028 \x00 \ufeff",
            "🙂🙃 " * draw.randint(1, 80),
            "no" * draw.randint(600, 900),
            f"e\u0301te\u0301 {draw.randint(1, 9)} مرحبا بالعالم " * 12,
            _prose(draw, 6, 9).replace(" ", "\u00a0"),
        )
    )


_KINDS: dict[str, tuple[float, Callable[[random.Random], str]]] = {
    "prose": (38, _prose),
    "windows": (2, lambda draw: _prose(draw).replace("\n", "\r\n")),
    "short": (4, lambda draw: _prose(draw, 1, 4)),
    "french": (2, _foreign("french")),
    "german": (2, _foreign("german")),
    "japanese": (2, _foreign("japanese")),
    "chinese": (3, _foreign("chinese")),
    "russian": (2, _foreign("russian")),
    "mixed": (2, lambda draw: f"{_foreign('german')(draw)}\n{_prose(draw, 3, 5)}\n{_foreign('french')(draw)}"),
    "ads": (3, _ads),
    "hashes": (1.5, _hashes),
    "ellipses": (1.5, _ellipses),
    "dots": (1.5, _dots),
    "bullets": (1.5, _bullets),
    "figures": (1.5, _figures),
    "chemistry": (1, _chemistry),
    "list": (1.5, _list),
    "code": (2, _code),
    "lorem": (1, _lorem),
    "menu": (2, _menu),
    "headlines": (1.5, _headlines),
    "column": (2, _column),
    "airy": (1.5, _airy),
    "blog": (1.5, _blog),
    "song": (3, _song),
    "pasted": (3, _pasted),
    "stutter": (8, _stutter),
    "chant": (2, _chant),
    "quoting": (2, _quoting(1.0)),
    "half-quoting": (1.5, _quoting(0.87)),
    "odd": (2, _odd),
}
_SOURCES = {"dclm": 7, "fineweb-edu": 5, "fineweb-edu-zh": 1, "wikipedia": 2, "other": 2, None: 1}
_COPY, _NEAR = 0.06, 0.13


def documents(size: int, seed: int) -> list[Record]:
    """`size` records of all kinds, `kind` says which; some are copies of an earlier one, a word or some words apart."""
    draw = random.Random(seed)
    kinds, weights = list(_KINDS), [weight for weight, _ in _KINDS.values()]
    records: list[Record] = []
    for number in range(size):
        roll = draw.random()
        if roll < _COPY + _NEAR and records:
            text = str(draw.choice(records)["text"])
            kind = "copy" if roll < _COPY else "near"
            text = text if kind == "copy" else _edited(text, draw)
        else:
            kind = draw.choices(kinds, weights)[0]
            text = _KINDS[kind][1](draw)
        records.append(_described(number, kind, text, draw))
    return records


def _edited(text: str, draw: random.Random) -> str:
    """The text with between one word and a tenth of them changed, now and then with a sentence more in front."""
    words = text.split(" ")
    for _ in range(max(1, int(len(words) * draw.choice((0, 0.01, 0.02, 0.04, 0.1))))):
        words[draw.randrange(len(words))] = draw.choice(_SLOTS_OF["quality"])
    return (f"{_lines(draw, 1)[0]} " if draw.random() < 0.2 else "") + " ".join(words)


def _described(number: int, kind: str, text: str, draw: random.Random) -> Record:
    """The record of a text: some lack an id, or have another's; some lack a source, a date, a licence, an embedding."""
    record: Record = {"text": text, "kind": kind, "topic": f"topic-{draw.randrange(4)}"}
    roll, source = draw.random(), draw.choices(list(_SOURCES), list(_SOURCES.values()))[0]
    if roll < 0.88:
        record["id"] = f"doc-{number:05d}"
    elif roll < 0.94:
        record["id"] = draw.choice(("a", "b", "a#2"))
    if kind == "chinese":
        source = "fineweb-edu-zh"
    optional: Record = {
        "source": source,
        "url": f"https://{draw.choice(_SLOTS_OF['field'])}.example/{number}",
        "licence": draw.choice((None, "CC0-1.0", "CC-BY-4.0")),
        "date": draw.choice((None, f"20{draw.randint(10, 25)}-0{draw.randint(1, 9)}-1{draw.randint(0, 9)}")),
        "embedding": None if draw.random() < 0.1 else [round(draw.uniform(-1, 1), 3) for _ in range(3)],
        "synthetic": True if draw.random() < 0.08 else None,
    }
    return record | {name: value for name, value in optional.items() if value is not None}


_MALFORMED = (
    b'{"id": "cut", "text": "This line ends in the mid\n',
    b'{"id": "no-text", "title": "There is no text here."}\n',
    b'{"id": "number", "text": 42}\n',
    b'{"id": 1.5, "text": "The id is no whole number."}\n',
    b'["a list", "is no record"]\n',
    b'{"id": "latin-1", "text": "Caf\xe9 au lait"}\n',
    b'{"id": "null", "text": null}\n',
    b'{"id": "surrogate", "text": "half of \\ud83d"}\n',
)


def write(folder: Path, size: int, seed: int) -> Path:
    """The corpus in files of every kind of record, one of them with lines that are no documents; the folder."""
    kinds = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet")
    for kind, piece in zip(kinds, dealt(documents(size, seed), len(kinds), seed), strict=True):
        save(folder, [piece], kind)
    extra = random.Random(seed + 1)
    good = [{"id": number, "text": _prose(extra), "a": {"b": [1, None, "ü"]}} for number in range(len(_MALFORMED))]
    mixed = b"".join(bad + json.dumps(record).encode() + b"\n" for bad, record in zip(_MALFORMED, good, strict=True))
    (folder / "bad.jsonl").write_bytes(mixed)
    return folder


def write_pages(folder: Path, size: int, seed: int) -> Path:
    """The same kinds of text as a crawl: HTML in WARC, text in WET, and a line each in a plain file; the folder."""
    folder.mkdir()
    records = documents(size, seed)
    members = [_warc("response", number, _page(str(record["text"]))) for number, record in enumerate(records[::3])]
    members.insert(5, _warc("response", 9000, b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: br\r\n\r\nxxx"))
    (folder / "crawl.warc.gz").write_bytes(b"".join(gzip.compress(member, mtime=0) for member in members))
    wet = [_warc("conversion", number + 1000, str(record["text"]).encode()) for number, record in enumerate(records[1::3])]
    (folder / "crawl.warc.wet").write_bytes(b"".join(wet))
    lines = [" ".join(str(record["text"]).split()).encode() + b"\n" for record in records[2::3]]
    (folder / "lines.txt").write_bytes(b"".join([*lines, b"Caf\xe9 au lait\n"]))
    return folder


def _page(text: str) -> bytes:
    paragraphs = "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in text.replace("\x00", "").split("\n"))
    menu = '<nav><a href="/">Home</a> <a href="/about">About us</a></nav>'
    body = f"<body>{menu}<main>{paragraphs}</main><footer>Imprint</footer></body>"
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    return f"{head}<html><head><title>A page</title></head>{body}</html>".encode()


def _warc(kind: str, number: int, block: bytes) -> bytes:
    head = (
        f"WARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{number}>\r\nWARC-Date: 2024-05-18T01:58:10Z\r\n"
        f"WARC-Target-URI: http://example.org/{number}\r\nContent-Length: {len(block)}\r\n"
    )
    return f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def write_benchmark(path: Path) -> None:
    """`QUESTIONS`, an object a line."""
    path.write_text("".join(json.dumps(question) + "\n" for question in QUESTIONS))
